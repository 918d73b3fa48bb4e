from __future__ import annotations

from datetime import date

import pytest

from libs.emulators.events_api.span import Span


def test_both_dates_belong_to_the_span() -> None:
    assert Span.parse("2019-10-07", "2019-10-13").days == 7
    assert Span.parse("2019-10-07", "2019-10-07").days == 1


def test_a_week_is_seven_days() -> None:
    assert str(Span.week_of(date(2019, 10, 7))) == "2019-10-07/2019-10-13"


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2019-10-13", "2019-10-07", "before start_date"),
        ("2019-02-30", "2019-10-07", "start_date must be a date"),
        ("2019-10-07", "20191013", "end_date must be a date"),
        ("2019-10-07", "2019-10-13T00:00:00", "end_date must be a date"),
        ("2019-01-01", "2021-01-01", "at most 400"),
        ("0001-01-01", "0001-01-07", "outside the years"),
    ],
)
def test_dates_that_make_no_span_are_refused_with_what_is_wrong(start: str, end: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Span.parse(start, end)

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.events_api.faults import FaultSettings
from libs.emulators.events_api.span import Span

SPAN = Span.parse("2019-10-07", "2019-10-13")
OTHER_SPAN = Span.parse("2019-10-14", "2019-10-20")


def plays(settings: FaultSettings, span: Span = SPAN, attempt: int = 1) -> list[str | None]:
    return [settings.decide(span, page, attempt) for page in range(1, 2_001)]


def test_nothing_fails_unless_asked_for() -> None:
    assert set(plays(FaultSettings())) == {None}


def test_each_kind_has_its_share_of_the_requests() -> None:
    counts = Counter(plays(FaultSettings(pct={"429": 10, "500": 20, "truncate": 5})))
    assert abs(counts["429"] - 200) < 50
    assert abs(counts["500"] - 400) < 70
    assert abs(counts["truncate"] - 100) < 40


def test_all_requests_fail_at_a_hundred_percent() -> None:
    assert set(plays(FaultSettings(pct={"503": 100}))) == {"503"}


@given(st.integers(0, 1_000), st.integers(1, 1_000), st.integers(1, 5))
def test_the_same_seed_page_and_attempt_fail_in_the_same_way(seed: int, page: int, attempt: int) -> None:
    settings = FaultSettings(seed=seed, pct={"500": 30, "429": 30}, max_per_page=0)
    again = FaultSettings(seed=seed, pct={"429": 30, "500": 30}, max_per_page=0)
    assert settings.decide(SPAN, page, attempt) == again.decide(SPAN, page, attempt)


def test_another_seed_span_or_attempt_fails_elsewhere() -> None:
    settings = FaultSettings(pct={"500": 50})
    seen = [plays(settings), plays(FaultSettings(seed=2, pct={"500": 50})), plays(settings, OTHER_SPAN)]
    assert len({tuple(faults) for faults in [*seen, plays(settings, attempt=2)]}) == 4


def test_a_page_is_served_after_its_bound_of_faults() -> None:
    settings = FaultSettings(pct={"500": 100}, max_per_page=2)
    assert [settings.decide(SPAN, 1, attempt) for attempt in (1, 2, 3, 4)] == ["500", "500", None, None]


def test_without_a_bound_a_page_may_fail_for_ever() -> None:
    assert FaultSettings(pct={"500": 100}, max_per_page=0).decide(SPAN, 1, 99) == "500"


def test_a_script_says_what_befalls_a_page_attempt_by_attempt() -> None:
    settings = FaultSettings(script={"2": ["429", "ok", "truncate"]})
    assert [settings.decide(SPAN, 2, attempt) for attempt in (1, 2, 3, 4)] == ["429", None, "truncate", None]
    assert settings.decide(SPAN, 1, 1) is None


def test_the_true_total_is_reported_unless_set_otherwise() -> None:
    assert FaultSettings().reported_total(100, 1) == 100
    assert FaultSettings(total_offset=-7).reported_total(100, 1) == 93
    assert FaultSettings(total_offset=-7).reported_total(0, 1) == 0
    changing = FaultSettings(total_change_after_page=2, total_change_by=5)
    assert [changing.reported_total(100, page) for page in (1, 2, 3)] == [100, 100, 105]


@pytest.mark.parametrize("pct", [{"500": -1.0}, {"500": 60.0, "429": 50.0}])
def test_shares_that_are_no_shares_are_refused(pct: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must not be negative nor exceed 100"):
        FaultSettings(pct=pct)  # type: ignore[arg-type]  # a plain dict of literals


def test_a_negative_wait_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        FaultSettings(slow_ms=-1)

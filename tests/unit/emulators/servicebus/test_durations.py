import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.servicebus.durations import FOREVER, format_duration, parse_duration


@given(st.integers(0, 10**12))
def test_a_duration_comes_back_to_the_millisecond(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("PT1M", 60_000),
        ("PT1H30M", 5_400_000),
        ("P1DT2H3M4.5S", 93_784_500),
        ("P14D", 1_209_600_000),
        ("PT0S", 0),
        (FOREVER, None),
    ],
)
def test_the_spellings_of_service_bus_are_read(text: str, milliseconds: int | None) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize("text", ["", "P", "PT", "1 minute", "PT1X", "P1M", "-PT1S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)

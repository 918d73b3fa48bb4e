"""The ways a source writes the same instant.

Every form is a text before the minute and the second, and a text after them; so an hour is formatted once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

TimeFormat = Literal["rees46", "iso", "mixed"]

MINUTE_AND_SECOND: Final = tuple(f"{second // 60:02}:{second % 60:02}" for second in range(3_600))


class _Form(NamedTuple):
    separator: str
    hours_ahead: int  # of UTC; whole hours, so that minutes stay what they are in UTC
    suffix: str
    microseconds: int = 0  # what the suffix adds to the instant; further digits do not count


_FORMS: Final[dict[TimeFormat, tuple[_Form, ...]]] = {
    "rees46": (_Form(" ", 0, " UTC"),),
    "iso": (_Form("T", 0, "Z"),),
    "mixed": (
        _Form(" ", 0, " UTC"),
        _Form("T", 0, "Z"),
        _Form("T", 0, "+00:00"),
        _Form(" ", 0, ""),
        _Form("T", 2, "+02:00"),
        _Form(" ", -8, "-08:00"),
        _Form("T", 0, ".250Z", 250_000),
        _Form("T", 0, ".123456Z", 123_456),
        _Form("T", 0, ".123456789Z", 123_456),
    ),
}


def hour_texts(time_format: TimeFormat, hour: datetime) -> tuple[tuple[str, str], ...]:
    """Return (text before, text after) minute and second for each form in use; event ``n`` takes form ``n % len``."""
    return tuple(
        (f"{hour + timedelta(hours=form.hours_ahead):%Y-%m-%d{form.separator}%H}:", form.suffix)
        for form in _FORMS[time_format]
    )


def microseconds(time_format: TimeFormat, index: int) -> int:
    """Return what the written form of event ``index`` adds to its second."""
    forms = _FORMS[time_format]
    return forms[index % len(forms)].microseconds

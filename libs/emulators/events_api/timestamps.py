"""The ways a source writes the same instant.

Every form is a text before the minute and the second, and a text after them; so an hour is formatted once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

TimeFormat = Literal["rees46", "iso", "mixed"]

MINUTE_AND_SECOND: Final = tuple(f"{second // 60:02}:{second % 60:02}" for second in range(3_600))

# (separator, hours ahead of UTC, suffix). Zones are whole hours: the minutes stay what they are in UTC.
_FORMS: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "rees46": ((" ", 0, " UTC"),),
    "iso": (("T", 0, "Z"),),
    "mixed": (
        (" ", 0, " UTC"),
        ("T", 0, "Z"),
        ("T", 0, "+00:00"),
        (" ", 0, ""),
        ("T", 2, "+02:00"),
        (" ", -8, "-08:00"),
        ("T", 0, ".250Z"),
        ("T", 0, ".123456Z"),
        ("T", 0, ".123456789Z"),
    ),
}


def hour_texts(time_format: TimeFormat, hour: datetime) -> tuple[tuple[str, str], ...]:
    """Return (text before, text after) minute and second for each form in use; event ``n`` takes form ``n % len``."""
    return tuple(
        (f"{hour + timedelta(hours=ahead):%Y-%m-%d}{separator}{hour + timedelta(hours=ahead):%H}:", suffix)
        for separator, ahead, suffix in _FORMS[time_format]
    )

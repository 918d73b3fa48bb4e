"""The dates a client asks for, both inclusive, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

MAX_DAYS = 400
YEARS = range(1970, 2200)


@dataclass(frozen=True)
class Span:
    """Whole UTC days from ``start`` 00:00 up to, not including, the midnight after ``end``.

    Raises ValueError when the span ends before it starts, is longer than ``MAX_DAYS``, or lies outside ``YEARS``.
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start.year not in YEARS or self.end.year not in YEARS:
            raise ValueError(f"{self.start} to {self.end} lies outside the years {YEARS.start} to {YEARS.stop - 1}")
        if self.end < self.start:
            raise ValueError(f"end_date {self.end} is before start_date {self.start}")
        if self.days > MAX_DAYS:
            raise ValueError(
                f"{self.start} to {self.end} is {self.days} days; at most {MAX_DAYS} can be asked for at once"
            )

    @classmethod
    def parse(cls, start: str, end: str) -> Span:
        """Build a span from two ``YYYY-MM-DD`` texts; raises ValueError naming the one that is wrong."""
        return cls(_parse_day("start_date", start), _parse_day("end_date", end))

    @classmethod
    def week_of(cls, start: date) -> Span:
        """Build the seven days that begin with ``start``."""
        return cls(start, start + timedelta(days=6))

    @property
    def days(self) -> int:
        """Number of days, at least 1."""
        return (self.end - self.start).days + 1

    def __str__(self) -> str:
        return f"{self.start.isoformat()}/{self.end.isoformat()}"


def _parse_day(name: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{name} must be a date as YYYY-MM-DD, got {text!r}") from error
    if day.isoformat() != text:  # fromisoformat also takes 20191001 and 2019-W40-2
        raise ValueError(f"{name} must be a date as YYYY-MM-DD, got {text!r}")
    return day

"""A week: the span of whole days that a run is about, half-open in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from libs.common.errors import TerminalError

DAYS = 7


class WeekError(TerminalError):
    """The week asked for is not one."""

    code = "week_invalid"
    next_step = (
        "Give --week-start as a Monday (YYYY-MM-DD), or both --week-start and --week-end, the end not before the start."
    )


@dataclass(frozen=True, slots=True, order=True)
class Week:
    """[start 00:00 UTC, end + 1 day 00:00 UTC). Usually Monday to Sunday; any other span only when given whole."""

    start: date
    end: date

    @classmethod
    def of(cls, start: date, end: date | None = None) -> Week:
        """The week that starts at `start`.

        Raises WeekError where `start` is no Monday and no end is given, or the end lies before the start.
        """
        if end is None:
            if start.weekday() != 0:
                raise WeekError(
                    f"{start} is a {start:%A}, and a week starts on a Monday (the one before is "
                    f"{start - timedelta(days=start.weekday())})."
                )
            end = start + timedelta(days=DAYS - 1)
        if end < start:
            raise WeekError(f"The week ends ({end}) before it starts ({start}).")
        return cls(start, end)

    @property
    def days(self) -> int:
        """How many days it spans."""
        return (self.end - self.start).days + 1

    @property
    def opens_at(self) -> datetime:
        """The first instant inside."""
        return datetime.combine(self.start, time(), UTC)

    @property
    def closes_at(self) -> datetime:
        """The first instant after it."""
        return datetime.combine(self.end + timedelta(days=1), time(), UTC)

    def next(self) -> Week:
        """The span of the same length that follows."""
        first = self.end + timedelta(days=1)
        return Week(first, first + timedelta(days=self.days - 1))

    def __str__(self) -> str:
        return f"{self.start}..{self.end}"

"""Which rows of a file belong to which day, in a few bytes per thousand rows.

Rows of one day that follow each other form a block. A file in time order has few blocks, whatever its size; one in no
order at all has about one a row (24 bytes each).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from libs.emulators.events_api.span import Span

MAX_BLOCK_ROWS = 1_000
_NO_DAY = 0


@dataclass(frozen=True)
class Stretch:
    """Rows next to each other in the file: skip ``skip`` from ``position``, then take ``rows``."""

    position: int
    skip: int
    rows: int


class DayIndex:
    """Row positions by day. A position is whatever its file seeks by: a byte offset, or a row number.

    A row whose time cannot be read goes with the row before it, the first ones with the first row that has a time; in
    a file without any, every row belongs to every day.
    """

    def __init__(self) -> None:
        self._positions = array("q")
        self._rows = array("q")
        self._days = array("q")
        self._current_day = _NO_DAY
        self._blocks = lru_cache(maxsize=8)(self._select)

    def add(self, position: int, day: int | None) -> None:
        """Add the next row of the file; ``day`` is its date's ordinal, None when it has no readable time."""
        if day is not None:
            if self._current_day == _NO_DAY:
                self._days = array("q", [day]) * len(self._days)
            self._current_day = day
        if self._rows and self._days[-1] == self._current_day and self._rows[-1] < MAX_BLOCK_ROWS:
            self._rows[-1] += 1
        else:
            self._positions.append(position)
            self._rows.append(1)
            self._days.append(self._current_day)

    def count(self, span: Span) -> int:
        """Return how many rows belong to a span. The index must be complete: nothing may be added afterwards."""
        _, ends = self._blocks(span)
        return ends[-1] if ends else 0

    def stretches(self, span: Span, first: int, stop: int) -> Iterator[Stretch]:
        """Yield where the rows [first, stop) of a span lie in the file, in order."""
        blocks, ends = self._blocks(span)
        number = bisect_right(ends, first)
        while first < stop and number < len(blocks):
            block = blocks[number]
            skip = first - (ends[number] - self._rows[block])
            rows = min(stop, ends[number]) - first
            yield Stretch(self._positions[block], skip, rows)
            first += rows
            number += 1

    def _select(self, span: Span) -> tuple[array[int], array[int]]:
        """Return the numbers of the blocks of a span, and how many rows there are up to the end of each."""
        blocks, ends, rows = array("q"), array("q"), 0
        low, high = span.start.toordinal(), span.end.toordinal()
        for number, day in enumerate(self._days):
            if day == _NO_DAY or low <= day <= high:
                rows += self._rows[number]
                blocks.append(number)
                ends.append(rows)
        return blocks, ends


@lru_cache(maxsize=4_096)
def _ordinal(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def day_of(value: object) -> int | None:
    """Return the ordinal of the UTC day of an event time as it stands in a file; None when it cannot be read."""
    if isinstance(value, datetime):
        return _utc_day(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        if text.endswith((" UTC", "Z")) and text[10:11] in {" ", "T"}:
            return _ordinal(text[:10])
        return _utc_day(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _utc_day(instant: datetime) -> int:
    offset = instant.utcoffset()
    return (instant if offset is None else instant.replace(tzinfo=None) - offset).toordinal()

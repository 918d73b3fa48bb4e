"""When events happen: busy evenings, quiet nights, every day covered."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from libs.emulators.events_api.span import Span

# Relative traffic of each UTC hour; its shape follows the public REES46 data (quiet 20-02 h, peak 15-17 h).
_HOUR_WEIGHTS = (12, 13, 22, 38, 54, 64, 70, 72, 73, 72, 71, 71, 73, 77, 84, 92, 96, 90, 70, 47, 28, 18, 13, 11)


class Traffic:
    """Spreads ``count`` events over the hours of a span; event indices in time order."""

    def __init__(self, span: Span, count: int) -> None:
        day_weight = sum(_HOUR_WEIGHTS)
        total = day_weight * span.days
        bounds = [0]
        weight = 0
        for _ in range(span.days):
            for hour_weight in _HOUR_WEIGHTS:
                weight += hour_weight
                bounds.append(count * weight // total)
        self._bounds = bounds
        self._midnight = datetime(span.start.year, span.start.month, span.start.day, tzinfo=UTC)

    def hours(self, first: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield (hour of the span, its first event, from, to) for the hours that hold the events [first, stop)."""
        hour = bisect_right(self._bounds, first) - 1
        while first < stop:
            begin, end = self._bounds[hour], self._bounds[hour + 1]
            upto = min(end, stop)
            if first < upto:
                yield hour, begin, first, upto
                first = upto
            hour += 1

    def size(self, hour: int) -> int:
        """Return how many events an hour of the span holds."""
        return self._bounds[hour + 1] - self._bounds[hour]

    def begins(self, hour: int) -> datetime:
        """Return the instant an hour of the span begins."""
        return self._midnight + timedelta(hours=hour)

"""What the emulator saw, for tests: who asked for which page how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from libs.emulators.events_api.queries import PageRequest


class Stats:
    """Counts of requests; ``served`` counts those that were answered with a whole page."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything but the requests in flight."""
        self._by_status: Counter[int] = Counter()
        self._requests: dict[str, Counter[int]] = {}
        self._served: dict[str, Counter[int]] = {}
        self._faults: Counter[str] = Counter()
        self._in_flight = getattr(self, "_in_flight", 0)
        self._peak = self._in_flight

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a request as running while the context is open."""
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1

    def requested(self, page: PageRequest) -> None:
        """Count a request for a page, whatever becomes of it."""
        self._requests.setdefault(str(page.span), Counter())[page.number] += 1

    def served(self, page: PageRequest) -> None:
        """Count a request that was answered with a whole page."""
        self._served.setdefault(str(page.span), Counter())[page.number] += 1

    def faulted(self, kind: str) -> None:
        """Count a fault that was played."""
        self._faults[kind] += 1

    def answered(self, status: int) -> None:
        """Count an answer to ``/events`` by its status."""
        self._by_status[status] += 1

    def snapshot(self) -> dict[str, Any]:
        """Return all counts as a JSON-ready object; pages are keyed by ``start/end``, then by page number."""
        return {
            "requests": sum(self._by_status.values()) + self._in_flight,
            "in_flight": self._in_flight,
            "concurrent_peak": self._peak,
            "by_status": {str(status): count for status, count in sorted(self._by_status.items())},
            "faults": dict(sorted(self._faults.items())),
            "requests_per_page": _by_page(self._requests),
            "served_per_page": _by_page(self._served),
        }


def _by_page(counts: dict[str, Counter[int]]) -> dict[str, dict[str, int]]:
    return {span: {str(page): count for page, count in sorted(pages.items())} for span, pages in counts.items()}

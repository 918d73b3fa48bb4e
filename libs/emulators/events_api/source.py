"""Where pages come from: a generated week or a file."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from libs.emulators.events_api.generator import GeneratedWeek, GeneratorOptions
from libs.emulators.events_api.span import Span


class Source(Protocol):
    """Records of any span, at random access."""

    def count(self, span: Span) -> int:
        """Return how many records the span has."""
        ...

    def records(self, span: Span, first: int, stop: int) -> list[str]:
        """Return the JSON texts of the records [first, stop) of a span; fewer at its end, none beyond it."""
        ...


class FileError(Exception):
    """A file that cannot be served; the message says which and why."""


class GeneratedSource:
    """Serves generated weeks; keeps the last few set up, never their events."""

    def __init__(self, options: GeneratorOptions) -> None:
        self._options = options
        self._week = lru_cache(maxsize=8)(lambda span: GeneratedWeek(options, span))

    def count(self, span: Span) -> int:
        """Return how many records the span has."""
        return self._options.count(span)

    def records(self, span: Span, first: int, stop: int) -> list[str]:
        """Return the JSON texts of the records [first, stop) of a span."""
        return self._week(span).records(first, stop)

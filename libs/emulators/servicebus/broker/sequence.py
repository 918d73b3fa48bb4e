"""Sequence numbers that never repeat, not even after a crash."""

from .journal import Journal

# Numbers are reserved in blocks, so that the journal hears of one in a thousand; a crash leaves a gap, as Azure does.
_BLOCK = 1000


class SequenceNumbers:
    """Gives out 1, 2, 3 … or goes on at ``start``."""

    def __init__(self, path: str, journal: Journal, start: int = 1) -> None:
        self._path = path
        self._journal = journal
        self._next = self._reserved = start

    def take(self) -> int:
        """Return the next number."""
        number = self._next
        if number >= self._reserved:
            self._reserved = number + _BLOCK
            self._journal.reserve_sequence_numbers(self._path, self._reserved)
        self._next = number + 1
        return number

"""Which of many values are of another type than the rest. Pure."""

from collections.abc import Iterator, Sequence


def rows_of(others: set[type], kinds: Sequence[type]) -> Iterator[int]:
    """The places of the types `others` among `kinds`.

    Made for types that are rare: to look for the next one is several times as fast as to look at each value.
    """
    for kind in others:
        row = -1
        for _ in range(kinds.count(kind)):
            row = kinds.index(kind, row + 1)
            yield row

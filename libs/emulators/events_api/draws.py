"""Counter-based randomness: every draw is a pure function of its name and number.

Nothing here keeps a state, so any event can be drawn without drawing those before it, and the same draw gives the
same value in every process and on every Python version (which ``random.Random`` does not promise).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def key(*parts: object) -> bytes:
    """Return 16 bytes that name a family of draws, for example ``key("week", seed, span)``."""
    return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).digest()


def number(family: bytes, index: int) -> int:
    """Return draw ``index`` of a family, uniform in [0, 2**64)."""
    return int.from_bytes(blake2b(family + index.to_bytes(8, "little"), digest_size=8).digest(), "little")


def below(family: bytes, index: int, limit: int) -> int:
    """Return draw ``index`` of a family, uniform in [0, limit)."""
    return number(family, index) * limit >> 64


def shuffled(family: bytes, items: Sequence[T]) -> list[T]:
    """Return the items in an order that depends on the family only."""
    order = sorted(range(len(items)), key=lambda position: number(family, position))
    return [items[position] for position in order]


class Strata:
    """Picks a share of the indices, evenly spread: exactly one, at a drawn place, in every 1/share of them.

    An even spread makes the number picked predictable (at most one off) while no client can rely on the positions.
    """

    def __init__(self, family: bytes, share_pct: Fraction) -> None:
        if not 0 <= share_pct <= 100:
            raise ValueError(f"a share must lie between 0 and 100 percent, got {float(share_pct)}")
        self._family = family
        self._share = share_pct / 100

    def within(self, first: int, stop: int) -> dict[int, int]:
        """Return {picked index: how many were picked before it} for the indices in [first, stop)."""
        return dict(self._picks(first, stop))

    def _picks(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        top, bottom = self._share.numerator, self._share.denominator
        if top == 0 or stop <= first:
            return
        for stratum in range(first * top // bottom, (stop - 1) * top // bottom + 1):
            begin = -(-stratum * bottom // top)
            end = -(-(stratum + 1) * bottom // top)
            index = begin + below(self._family, stratum, end - begin)
            if first <= index < stop:
                yield index, stratum

"""Salesforce record ids: 15 characters of base 62, and 3 more that make them safe where case is lost.

An id here is the object's key prefix (3), a fixed pod and reserve (3), and the record's sequence number (9). The
check characters follow Salesforce's published rule: one bit for each upper-case letter in each group of five.
"""

from __future__ import annotations

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUE = {digit: value for value, digit in enumerate(_DIGITS)}
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_POD = "5e0"
_LOW = 62**5  # what the last group of five characters can hold; higher groups change once in 916 million records


def _upper_case_bits(text: str) -> int:
    return sum(1 << position for position, char in enumerate(text) if "A" <= char <= "Z")


_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_PAIR_BITS = [_upper_case_bits(pair) for pair in _PAIRS]
_SINGLE_BITS = [_upper_case_bits(digit) for digit in _DIGITS]


def _with_check(fifteen: str) -> str:
    return fifteen + "".join(_CHECK[_upper_case_bits(fifteen[start : start + 5])] for start in (0, 5, 10))


class IdCodec:
    """Turns the sequence numbers of one object into its record ids and back."""

    def __init__(self, key_prefix: str) -> None:
        self.key_prefix = key_prefix
        self._heads: dict[int, tuple[str, str]] = {}

    def encode(self, sequence: int) -> str:
        """Return the 18-character id; quick enough for a million a job."""
        block, low = divmod(sequence, _LOW)
        head = self._heads.get(block) or self._head(block)
        first, rest = divmod(low, 62**4)
        middle, last = divmod(rest, 62**2)
        bits = _SINGLE_BITS[first] | _PAIR_BITS[middle] << 1 | _PAIR_BITS[last] << 3
        return f"{head[0]}{_DIGITS[first]}{_PAIRS[middle]}{_PAIRS[last]}{head[1]}{_CHECK[bits]}"

    def decode(self, text: str) -> int | None:
        """Return the sequence number behind a 15- or 18-character id of this object, None if it is none."""
        if len(text) == 18 and _with_check(text[:15]).upper() != text.upper():
            return None
        if len(text) not in (15, 18) or not text.startswith(self.key_prefix + _POD):
            return None
        sequence = 0
        for char in text[6:15]:
            value = _VALUE.get(char)
            if value is None:
                return None
            sequence = sequence * 62 + value
        return sequence

    def _head(self, block: int) -> tuple[str, str]:
        high = ""
        rest = block
        for _ in range(4):
            rest, digit = divmod(rest, 62)
            high = _DIGITS[digit] + high
        fifteen = _with_check(self.key_prefix + _POD + high + "00000")
        head = (fifteen[:10], fifteen[15:17])
        self._heads[block] = head
        return head


def normalise_id(text: str) -> str | None:
    """Return any well-formed id in its 18-character form, None if it is malformed."""
    if len(text) not in (15, 18) or not (text.isascii() and text.isalnum()):
        return None
    full = _with_check(text[:15])
    return full if len(text) == 15 or full == text else None

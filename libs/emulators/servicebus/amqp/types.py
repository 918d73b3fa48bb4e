"""AMQP 1.0 types that Python has no type of its own for (part 1 of the OASIS specification).

Values decode to the narrowest class below or to the Python built-in: null to None, boolean to bool, int to int, double
to float, string to str, binary to bytes, uuid to uuid.UUID, list to list, map to dict. Encoding goes by the exact
class, so a value keeps its wire type on the way through.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Symbol(str):
    """ASCII name from a constrained domain."""

    __slots__ = ()


class UByte(int):
    """Unsigned, 8 bits."""

    __slots__ = ()


class UShort(int):
    """Unsigned, 16 bits."""

    __slots__ = ()


class UInt(int):
    """Unsigned, 32 bits."""

    __slots__ = ()


class ULong(int):
    """Unsigned, 64 bits."""

    __slots__ = ()


class Byte(int):
    """Signed, 8 bits."""

    __slots__ = ()


class Short(int):
    """Signed, 16 bits."""

    __slots__ = ()


class Long(int):
    """Signed, 64 bits. (A plain ``int`` is AMQP's 32-bit ``int``.)"""

    __slots__ = ()


class Timestamp(int):
    """Milliseconds since the Unix epoch, UTC."""

    __slots__ = ()


class Float(float):
    """IEEE 754 binary32. (A plain ``float`` is AMQP's ``double``.)"""

    __slots__ = ()


class Char(str):
    """One Unicode code point."""

    __slots__ = ()


class Encoded(bytes):
    """A value in its wire form, constructor included; encoding it copies it. Decimals decode to this."""

    __slots__ = ()


class Described(NamedTuple):
    """A value annotated with the descriptor of its type."""

    descriptor: Any
    value: Any


class Array(list[Any]):
    """Elements of one AMQP type.

    ``element_type`` is a class of this module or a built-in; it must be given when the array is empty.
    """

    def __init__(self, items: Sequence[Any] = (), element_type: type | None = None) -> None:
        super().__init__(items)
        self.element_type = element_type if element_type is not None else (type(items[0]) if items else int)

"""Octets to values.

One function per format code, looked up in a table of 256: this is the hottest code of the emulator.
"""

import struct
import uuid
from collections.abc import Callable
from typing import Any

from .errors import DecodeError
from .types import (
    Array,
    Byte,
    Char,
    Described,
    Encoded,
    Float,
    Long,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)

_Decoder = Callable[[bytes, int], tuple[Any, int]]

_UINT32 = struct.Struct(">I").unpack_from


def decode_value(buffer: bytes, position: int = 0) -> tuple[Any, int]:
    """Decode the value that starts at ``position``.

    Returns the value and the position after it. Raises DecodeError when the octets are cut short or are no AMQP value.
    """
    try:
        value, end = _DECODERS[buffer[position]](buffer, position + 1)
    except (IndexError, struct.error, UnicodeDecodeError, ValueError, TypeError, OverflowError) as error:
        raise DecodeError(f"malformed value at octet {position}: {error}") from error
    except RecursionError as error:
        raise DecodeError(f"malformed value at octet {position}: nested too deeply") from error
    if end > len(buffer):
        raise DecodeError(f"value at octet {position} needs {end - len(buffer)} more octets than there are")
    return value, end


def end_of_value(buffer: bytes, position: int) -> int:
    """Return the position after the value at ``position`` without decoding its content.

    Raises DecodeError when it is cut short.
    """
    try:
        end = _skip(buffer, position)
    except (IndexError, struct.error, RecursionError) as error:
        raise DecodeError(f"malformed value at octet {position}: {error}") from error
    if end > len(buffer):
        raise DecodeError(f"value at octet {position} needs {end - len(buffer)} more octets than there are")
    return end


def _skip(buffer: bytes, position: int) -> int:
    code = buffer[position]
    position += 1
    if code == 0:
        return _skip(buffer, _skip(buffer, position))
    width = _FIXED_WIDTH.get(code >> 4)
    if width is not None:
        return position + width
    if code >> 4 in (0xA, 0xC, 0xE):
        return position + 1 + buffer[position]
    if code >> 4 in (0xB, 0xD, 0xF):
        return position + 4 + int(_UINT32(buffer, position)[0])
    raise DecodeError(f"unknown format code 0x{code:02x} at octet {position - 1}")


# Octets after a constructor, by its high nibble (part 1.2 of the specification).
_FIXED_WIDTH = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


def _unknown(_: bytes, position: int) -> tuple[Any, int]:
    raise DecodeError(f"unknown format code at octet {position - 1}")


_DECODERS: list[_Decoder] = [_unknown] * 256


def _constant(code: int, value: Any) -> None:
    _DECODERS[code] = lambda _, position: (value, position)


def _number(code: int, layout: str, convert: Callable[[Any], Any] | None = None) -> None:
    packed = struct.Struct(">" + layout)
    unpack, size = packed.unpack_from, packed.size
    if convert is None:
        _DECODERS[code] = lambda buffer, position: (unpack(buffer, position)[0], position + size)
    else:
        _DECODERS[code] = lambda buffer, position: (convert(unpack(buffer, position)[0]), position + size)


def _short_text(convert: Callable[[bytes], Any]) -> _Decoder:
    def decode(buffer: bytes, position: int) -> tuple[Any, int]:
        start = position + 1
        end = start + buffer[position]
        return convert(buffer[start:end]), end

    return decode


def _long_text(convert: Callable[[bytes], Any]) -> _Decoder:
    def decode(buffer: bytes, position: int) -> tuple[Any, int]:
        start = position + 4
        end = start + _UINT32(buffer, position)[0]
        return convert(buffer[start:end]), end

    return decode


def _opaque(code: int, width: int) -> None:
    # Decimals pass through untouched: nothing here computes with them.
    prefix = bytes((code,))
    _DECODERS[code] = lambda buffer, position: (Encoded(prefix + buffer[position : position + width]), position + width)


def _items(buffer: bytes, position: int, count: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        value, position = _DECODERS[buffer[position]](buffer, position + 1)
        items.append(value)
    return items, position


def _pairs(buffer: bytes, position: int, count: int) -> tuple[dict[Any, Any], int]:
    if count % 2:
        raise DecodeError(f"map at octet {position} has a key without a value")
    items, position = _items(buffer, position, count)
    keys = iter(items)
    return dict(zip(keys, keys, strict=True)), position


def _elements(buffer: bytes, position: int, count: int, end: int) -> tuple[Array, int]:
    code = buffer[position]
    position += 1
    descriptor = None
    described = code == 0
    if described:
        descriptor, position = _DECODERS[buffer[position]](buffer, position + 1)
        code = buffer[position]
        position += 1
    decode = _DECODERS[code]
    if count > end - position and code >> 4 != 4:
        raise DecodeError(f"array at octet {position} claims {count} elements in {end - position} octets")
    values = []
    for _ in range(count):
        value, position = decode(buffer, position)
        values.append(Described(descriptor, value) if described else value)
    return Array(values, type(values[0]) if values else _ELEMENT_TYPES.get(code, int)), end


_ELEMENT_TYPES: dict[int, type] = {
    0x98: uuid.UUID, 0x81: Long, 0x55: Long, 0x83: Timestamp,
    0xA3: Symbol, 0xB3: Symbol, 0xA1: str, 0xB1: str, 0xA0: bytes, 0xB0: bytes,
}  # fmt: skip


def _described(buffer: bytes, position: int) -> tuple[Described, int]:
    descriptor, position = _DECODERS[buffer[position]](buffer, position + 1)
    value, position = _DECODERS[buffer[position]](buffer, position + 1)
    return Described(descriptor, value), position


def _utf8(octets: bytes) -> str:
    return str(octets, "utf-8")


def _symbol(octets: bytes) -> Symbol:
    return Symbol(str(octets, "ascii"))


_DECODERS[0x00] = _described
_constant(0x40, None)
_constant(0x41, True)
_constant(0x42, False)
_constant(0x43, UInt(0))
_constant(0x44, ULong(0))
_number(0x56, "B", bool)
_number(0x50, "B", UByte)
_number(0x51, "b", Byte)
_number(0x52, "B", UInt)
_number(0x53, "B", ULong)
_number(0x54, "b")
_number(0x55, "b", Long)
_number(0x60, "H", UShort)
_number(0x61, "h", Short)
_number(0x70, "I", UInt)
_number(0x71, "i")
_number(0x72, "f", Float)
_number(0x73, "I", lambda code_point: Char(chr(code_point)))
_number(0x80, "Q", ULong)
_number(0x81, "q", Long)
_number(0x82, "d")
_number(0x83, "q", Timestamp)
_opaque(0x74, 4)
_opaque(0x84, 8)
_opaque(0x94, 16)
_DECODERS[0x98] = lambda buffer, position: (uuid.UUID(bytes=buffer[position : position + 16]), position + 16)
_DECODERS[0xA0], _DECODERS[0xB0] = _short_text(bytes), _long_text(bytes)
_DECODERS[0xA1], _DECODERS[0xB1] = _short_text(_utf8), _long_text(_utf8)
_DECODERS[0xA3], _DECODERS[0xB3] = _short_text(_symbol), _long_text(_symbol)
# Compound values carry size and count, one octet each in the short form, four in the long one.
_DECODERS[0x45] = lambda _, position: ([], position)
_DECODERS[0xC0] = lambda buffer, position: _items(buffer, position + 2, buffer[position + 1])
_DECODERS[0xD0] = lambda buffer, position: _items(buffer, position + 8, _UINT32(buffer, position + 4)[0])
_DECODERS[0xC1] = lambda buffer, position: _pairs(buffer, position + 2, buffer[position + 1])
_DECODERS[0xD1] = lambda buffer, position: _pairs(buffer, position + 8, _UINT32(buffer, position + 4)[0])
_DECODERS[0xE0] = lambda buffer, position: _elements(
    buffer, position + 2, buffer[position + 1], position + 1 + buffer[position]
)
_DECODERS[0xF0] = lambda buffer, position: _elements(
    buffer, position + 8, _UINT32(buffer, position + 4)[0], position + 4 + _UINT32(buffer, position)[0]
)

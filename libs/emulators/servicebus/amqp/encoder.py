"""Values to octets, in the shortest form of their type."""

import struct
import uuid
from collections.abc import Callable, Iterable
from typing import Any

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

NULL = b"\x40"

_UINT16 = struct.Struct(">H").pack
_INT16 = struct.Struct(">h").pack
_UINT32 = struct.Struct(">I").pack
_INT32 = struct.Struct(">i").pack
_UINT64 = struct.Struct(">Q").pack
_INT64 = struct.Struct(">q").pack
_INT8 = struct.Struct(">b").pack
_FLOAT = struct.Struct(">f").pack
_DOUBLE = struct.Struct(">d").pack
_SIZE_AND_COUNT = struct.Struct(">II").pack


def encode_value(value: Any) -> bytes:
    """Encode ``value`` as the AMQP type of its exact class. Raises TypeError for a class without one."""
    encode = _ENCODERS.get(type(value))
    if encode is None:
        raise TypeError(f"{type(value).__name__} has no AMQP type; use one of amqp.types or a built-in")
    return encode(value)


def boolean(value: Any) -> bytes:
    """Encode a truth value."""
    return b"\x41" if value else b"\x42"


def ubyte(value: int) -> bytes:
    """Encode an unsigned 8-bit number."""
    return bytes((0x50, value))


def ushort(value: int) -> bytes:
    """Encode an unsigned 16-bit number."""
    return b"\x60" + _UINT16(value)


def uint(value: int) -> bytes:
    """Encode an unsigned 32-bit number."""
    if value == 0:
        return b"\x43"
    return bytes((0x52, value)) if value < 256 else b"\x70" + _UINT32(value)


def ulong(value: int) -> bytes:
    """Encode an unsigned 64-bit number."""
    if value == 0:
        return b"\x44"
    return bytes((0x53, value)) if value < 256 else b"\x80" + _UINT64(value)


def int32(value: int) -> bytes:
    """Encode a signed number of 32 bits; one that needs more becomes a long."""
    if -128 <= value < 128:
        return b"\x54" + _INT8(value)
    if -(2**31) <= value < 2**31:
        return b"\x71" + _INT32(value)
    return b"\x81" + _INT64(value)


def int64(value: int) -> bytes:
    """Encode a signed 64-bit number."""
    return b"\x55" + _INT8(value) if -128 <= value < 128 else b"\x81" + _INT64(value)


def binary(value: bytes | bytearray | memoryview) -> bytes:
    """Encode a sequence of octets."""
    return _sized(0xA0, bytes(value))


def string(value: str) -> bytes:
    """Encode Unicode text."""
    return _sized(0xA1, value.encode())


def symbol(value: str) -> bytes:
    """Encode an ASCII name."""
    return _sized(0xA3, value.encode("ascii"))


def sequence(values: Iterable[Any]) -> bytes:
    """Encode a list."""
    items = [encode_value(value) for value in values]
    return compound(0xC0, items) if items else b"\x45"


def mapping(values: dict[Any, Any]) -> bytes:
    """Encode a map."""
    items: list[bytes] = []
    for key, value in values.items():
        items += (encode_value(key), encode_value(value))
    return compound(0xC1, items)


def symbol_mapping(values: dict[str, Any]) -> bytes:
    """Encode a map whose keys are symbols on the wire, as annotations and link properties need."""
    return mapping({Symbol(key): value for key, value in values.items()})


def compound(short_code: int, items: list[bytes]) -> bytes:
    """Join encoded items to a list or map; ``short_code`` is its one-octet form, the long form is 0x10 above."""
    body = b"".join(items)
    if len(body) < 255 and len(items) < 256:
        return bytes((short_code, len(body) + 1, len(items))) + body
    return bytes((short_code + 0x10,)) + _SIZE_AND_COUNT(len(body) + 4, len(items)) + body


def described(descriptor: int, body: bytes) -> bytes:
    """Prefix an encoded value with a numeric descriptor below 256.

    The descriptor is always a smallulong: the Azure SDK for Python skips exactly those three octets.
    """
    return bytes((0x00, 0x53, descriptor)) + body


def _sized(short_code: int, octets: bytes) -> bytes:
    if len(octets) < 256:
        return bytes((short_code, len(octets))) + octets
    return bytes((short_code + 0x10,)) + _UINT32(len(octets)) + octets


def _array(value: Array) -> bytes:
    code, encode_element = _ARRAY_ELEMENTS[value.element_type]
    body = bytes((code,)) + b"".join([encode_element(element) for element in value])
    return b"\xf0" + _SIZE_AND_COUNT(len(body) + 4, len(value)) + body


def _long_form(octets: bytes) -> bytes:
    return _UINT32(len(octets)) + octets


# Elements of an array share one constructor, so each type has its widest form here.
_ARRAY_ELEMENTS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    bool: (0x56, lambda value: b"\x01" if value else b"\x00"),
    int: (0x71, _INT32),
    Long: (0x81, _INT64),
    UByte: (0x50, lambda value: bytes((value,))),
    UShort: (0x60, _UINT16),
    UInt: (0x70, _UINT32),
    ULong: (0x80, _UINT64),
    Timestamp: (0x83, _INT64),
    float: (0x82, _DOUBLE),
    uuid.UUID: (0x98, lambda value: bytes(value.bytes)),
    bytes: (0xB0, _long_form),
    str: (0xB1, lambda value: _long_form(value.encode())),
    Symbol: (0xB3, lambda value: _long_form(value.encode("ascii"))),
}

_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: NULL,
    bool: boolean,
    int: int32,
    float: lambda value: b"\x82" + _DOUBLE(value),
    str: string,
    bytes: binary,
    Symbol: symbol,
    UByte: ubyte,
    UShort: ushort,
    UInt: uint,
    ULong: ulong,
    Byte: lambda value: b"\x51" + _INT8(value),
    Short: lambda value: b"\x61" + _INT16(value),
    Long: int64,
    Float: lambda value: b"\x72" + _FLOAT(value),
    Char: lambda value: b"\x73" + _UINT32(ord(value)),
    Timestamp: lambda value: b"\x83" + _INT64(value),
    uuid.UUID: lambda value: b"\x98" + value.bytes,
    list: sequence,
    tuple: sequence,
    dict: mapping,
    Array: _array,
    Encoded: bytes,
    Described: lambda value: b"\x00" + encode_value(value.descriptor) + encode_value(value.value),
}

"""What is encoded decodes to the same value of the same type; nothing from outside does more than DecodeError."""

import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.servicebus.amqp import types as t
from libs.emulators.servicebus.amqp.decoder import decode_value, end_of_value
from libs.emulators.servicebus.amqp.encoder import encode_value
from libs.emulators.servicebus.amqp.errors import DecodeError


def _between(kind: type[int], low: int, high: int) -> st.SearchStrategy[Any]:
    return st.integers(low, high).map(kind)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.floats(allow_nan=False),
    st.floats(width=32, allow_nan=False).map(t.Float),
    st.text(),
    st.binary(),
    st.text(alphabet=st.characters(max_codepoint=127)).map(t.Symbol),
    st.characters().map(t.Char),
    st.uuids(),
    _between(t.UByte, 0, 2**8 - 1),
    _between(t.UShort, 0, 2**16 - 1),
    _between(t.UInt, 0, 2**32 - 1),
    _between(t.ULong, 0, 2**64 - 1),
    _between(t.Byte, -(2**7), 2**7 - 1),
    _between(t.Short, -(2**15), 2**15 - 1),
    _between(t.Long, -(2**63), 2**63 - 1),
    _between(t.Timestamp, -(2**63), 2**63 - 1),
)
ARRAYS = st.one_of(
    st.lists(st.uuids()).map(lambda items: t.Array(items, uuid.UUID)),
    st.lists(_between(t.Long, -(2**63), 2**63 - 1)).map(lambda items: t.Array(items, t.Long)),
    st.lists(_between(t.Timestamp, 0, 2**63 - 1)).map(lambda items: t.Array(items, t.Timestamp)),
    st.lists(st.text()).map(lambda items: t.Array(items, str)),
    st.lists(st.sampled_from(["a", "b:c"]).map(t.Symbol)).map(lambda items: t.Array(items, t.Symbol)),
)
VALUES = st.recursive(
    st.one_of(SCALARS, ARRAYS),
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(st.text() | st.uuids(), inner),
        st.builds(t.Described, _between(t.ULong, 0, 2**64 - 1), inner),
    ),
    max_leaves=20,
)


def _typed(value: Any) -> Any:
    """Return a value in a form that is equal only if the types are, too."""
    if isinstance(value, dict):
        return {(type(key), key): _typed(item) for key, item in value.items()}
    if isinstance(value, t.Array):
        return t.Array, value.element_type, [_typed(item) for item in value]
    if isinstance(value, (list, t.Described)):
        return type(value), [_typed(item) for item in value]
    return type(value), value


@given(VALUES)
def test_a_value_comes_back_with_its_type(value: Any) -> None:
    octets = encode_value(value)

    decoded, end = decode_value(octets)

    assert _typed(decoded) == _typed(value)
    assert end == len(octets)
    assert end_of_value(octets, 0) == end


@given(VALUES, st.data())
def test_a_value_that_is_cut_short_is_a_decode_error(value: Any, data: st.DataObject) -> None:
    octets = encode_value(value)
    cut = octets[: data.draw(st.integers(0, len(octets) - 1))]

    with pytest.raises(DecodeError):
        decode_value(cut)
    with pytest.raises(DecodeError):
        end_of_value(cut, 0)


@given(st.binary())
def test_octets_from_a_stranger_decode_or_are_a_decode_error(octets: bytes) -> None:
    try:
        _, end = decode_value(octets)
    except DecodeError:
        return
    assert 0 < end <= len(octets)


def test_a_value_that_is_nested_without_end_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="nested too deeply"):
        decode_value(b"\x00\x53\x01" * 100_000)


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b"\x40", None),
        (b"\x41", True),
        (b"\x56\x00", False),
        (b"\x43", t.UInt(0)),
        (b"\x70\x00\x00\x00\x05", t.UInt(5)),
        (b"\x44", t.ULong(0)),
        (b"\x80" + bytes(7) + b"\x05", t.ULong(5)),
        (b"\x71\xff\xff\xff\xff", -1),
        (b"\x81" + b"\xff" * 8, t.Long(-1)),
        (b"\xb1\x00\x00\x00\x01a", "a"),
        (b"\xb0\x00\x00\x00\x01a", b"a"),
        (b"\xd0" + struct.pack(">II", 5, 1) + b"\x41", [True]),
        (b"\xe0\x04\x02\x56\x01\x00", [True, False]),
        (b"\x74\x01\x02\x03\x04", b"\x74\x01\x02\x03\x04"),
    ],
)
def test_forms_that_other_clients_choose_are_understood(octets: bytes, value: Any) -> None:
    assert decode_value(octets) == (value, len(octets))


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        (b"\x99", "unknown format code"),
        (b"\xc1\x02\x01\x41", "a key without a value"),
        (b"\xa1\x02\xff\xff", "malformed value"),
        (b"\xc1\x03\x02\x45\x41", "unhashable"),
        (b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x56", "claims 4294967295 elements"),
    ],
)
def test_a_malformed_value_is_described(octets: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        decode_value(octets)


def test_a_class_without_an_amqp_type_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="complex has no AMQP type"):
        encode_value(1j)

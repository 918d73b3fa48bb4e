"""Messages pass through octet for octet, but for what is the broker's."""

from collections.abc import Callable
from typing import Any

import pytest

from libs.emulators.servicebus.amqp.decoder import decode_value
from libs.emulators.servicebus.amqp.encoder import encode_value
from libs.emulators.servicebus.amqp.errors import DecodeError
from libs.emulators.servicebus.amqp.types import Long, Symbol, Timestamp, UInt
from libs.emulators.servicebus.broker import message as m

ANNOTATIONS = m.encode_section(m.MESSAGE_ANNOTATIONS, {Symbol("x-mine"): "kept", Symbol("x-opt-sequence-number"): 99})
BODY = m.encode_section(m.PROPERTIES, ["id"]) + m.encode_section(m.DATA, b"\x00\xff")


def decoded(octets: bytes) -> dict[int, Any]:
    return {descriptor: decode_value(octets, start)[0] for descriptor, _, start, _ in m.sections(octets)}


def test_properties_and_body_leave_as_they_came() -> None:
    assert m.Message(ANNOTATIONS + BODY).encode().endswith(BODY)


def test_sections_may_come_in_any_order() -> None:
    message = m.Message(BODY + ANNOTATIONS + m.encode_section(m.HEADER, [True, None, UInt(5_000)]))

    assert message.ttl_ms == 5_000
    assert message.message_id == "id"
    assert decoded(message.encode())[m.MESSAGE_ANNOTATIONS]["x-mine"] == "kept"


def test_the_brokers_annotations_are_the_brokers() -> None:
    message = m.Message(ANNOTATIONS + BODY)
    message.sequence_number, message.enqueued_ms = 7, 1_000

    annotations = decoded(message.encode())[m.MESSAGE_ANNOTATIONS]

    assert annotations["x-opt-sequence-number"] == Long(7)
    assert annotations["x-opt-enqueued-time"] == Timestamp(1_000)
    assert "x-opt-locked-until" not in annotations


def test_the_content_makes_the_same_message_again() -> None:
    message = m.Message(m.encode_section(m.HEADER, [True, None, UInt(5_000)]) + ANNOTATIONS + BODY)

    again = m.Message(message.content())

    assert again.content() == message.content()
    assert again.encode() == message.encode()


def test_added_properties_do_not_change_the_original() -> None:
    message = m.Message(m.encode_section(m.APPLICATION_PROPERTIES, {"a": "1"}) + BODY)

    changed = message.with_application_properties({"b": "2"})

    assert changed.application_properties == {"a": "1", "b": "2"}
    assert message.application_properties == {"a": "1"}
    assert decoded(changed.encode())[m.APPLICATION_PROPERTIES] == {"a": "1", "b": "2"}


def test_a_batch_holds_messages() -> None:
    batch = b"".join(m.encode_section(m.DATA, m.encode_section(m.PROPERTIES, [each]) + BODY[:0]) for each in "ab")

    assert [message.message_id for message in m.unpack_batch(ANNOTATIONS + batch)] == ["a", "b"]


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        (b"\x40", "should start a section"),
        (b"\x00\x80" + bytes(7) + b"\x73\x45", "unusual descriptor"),
        (b"\x00\xa1\x01x\x45", "unusual descriptor"),
        (m.encode_section(m.PROPERTIES, "text"), "properties section must hold a list"),
        (m.encode_section(m.APPLICATION_PROPERTIES, [1]), "application properties section must hold a dict"),
        (m.encode_section(m.HEADER, None), "header section must hold a list"),
        (BODY[:-1], "more octets"),
    ],
)
def test_what_is_no_message_is_refused(octets: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        m.Message(octets)


def test_a_batch_of_something_else_is_refused() -> None:
    with pytest.raises(DecodeError, match="data section must hold a bytes"):
        m.unpack_batch(m.encode_section(m.DATA, "text"))


def test_a_time_to_live_beyond_the_wire_is_cut(message: Callable[..., m.Message]) -> None:
    mortal = message("a")
    mortal.ttl_ms = 2**40

    assert decoded(mortal.encode())[m.HEADER][2] == UInt(2**32 - 1)
    assert encode_value(UInt(2**32 - 1)) in mortal.encode()

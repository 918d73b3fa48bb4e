"""A message as the broker keeps it: its sections as they came, and beside them what the broker knows about it.

Only the header, the annotations and, when a rule or duplicate detection asks, the properties are decoded. Everything
else is handed on octet for octet.
"""

import copy
import uuid
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Self, TypeVar

from ..amqp import encoder as enc
from ..amqp.decoder import decode_value, end_of_value
from ..amqp.errors import DecodeError
from ..amqp.types import Long, Symbol, Timestamp, UInt

HEADER, DELIVERY_ANNOTATIONS, MESSAGE_ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES, DATA = range(0x70, 0x76)
AMQP_VALUE = 0x77
# message-format of a transfer whose data sections are messages of their own
BATCH_FORMAT = 0x80013700

SCHEDULED_ENQUEUE_TIME = "x-opt-scheduled-enqueue-time"
LOCK_TOKEN = "x-opt-lock-token"
# Set by the broker alone: what a sender writes there, for instance when it forwards a received message, is dropped.
_BROKER_ANNOTATIONS = (
    "x-opt-sequence-number",
    "x-opt-enqueued-time",
    "x-opt-enqueue-sequence-number",
    "x-opt-locked-until",
    "x-opt-message-state",
    "x-opt-deadletter-source",
    LOCK_TOKEN,
)
_MAX_TTL_MS = 2**32 - 1
_PROPERTY_FIELDS = 13
_DESCRIPTOR_OCTETS = 3

_Value = TypeVar("_Value")


class MessageState(IntEnum):
    """The values of the annotation x-opt-message-state."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


class Message:
    """One message in one queue."""

    __slots__ = (
        "_application_properties",
        "_application_properties_section",
        "_delivery_annotations",
        "_header",
        "_message_annotations",
        "_properties",
        "_properties_section",
        "_remaining_sections",
        "delivery_count",
        "enqueued_ms",
        "enqueued_sequence_number",
        "expires_ms",
        "lock_token",
        "locked_until_ms",
        "scheduled_ms",
        "sequence_number",
        "state",
        "ttl_ms",
    )

    def __init__(self, octets: bytes) -> None:
        """Take a message as it was sent. Raises DecodeError when it is none."""
        self._header: list[Any] = [None, None, None, None]  # durable, priority, ttl, first-acquirer
        self._delivery_annotations: dict[Any, Any] = {}
        self._message_annotations: dict[Any, Any] = {}
        self._properties_section = b""
        self._properties: list[Any] | None = None
        self._application_properties_section = b""
        self._application_properties: dict[str, Any] | None = None
        remaining = []
        # Senders differ in the order of sections; the Python SDK puts delivery annotations last.
        for descriptor, start, value_start, end in sections(octets):
            if descriptor == HEADER:
                fields = _expect(list, decode_value(octets, value_start)[0], "header")
                self._header = (fields + [None] * 4)[:4]
            elif descriptor == DELIVERY_ANNOTATIONS:
                self._delivery_annotations = _expect(dict, decode_value(octets, value_start)[0], "delivery annotations")
            elif descriptor == MESSAGE_ANNOTATIONS:
                self._message_annotations = _expect(dict, decode_value(octets, value_start)[0], "message annotations")
            elif descriptor == PROPERTIES:
                self._properties_section = octets[start:end]
            elif descriptor == APPLICATION_PROPERTIES:
                self._application_properties_section = octets[start:end]
            else:
                remaining.append(octets[start:end])
        self._remaining_sections = b"".join(remaining)
        self._check_properties()
        for annotation in _BROKER_ANNOTATIONS:
            self._message_annotations.pop(annotation, None)
            self._delivery_annotations.pop(annotation, None)
        self.ttl_ms: int | None = self._header[2]
        scheduled = self._message_annotations.get(SCHEDULED_ENQUEUE_TIME)
        self.scheduled_ms: int | None = int(scheduled) if isinstance(scheduled, int) else None
        self.state = MessageState.ACTIVE
        self.sequence_number = 0
        self.enqueued_ms = 0
        self.enqueued_sequence_number: int | None = None
        self.expires_ms: int | None = None
        self.delivery_count = 0
        self.lock_token: uuid.UUID | None = None
        self.locked_until_ms = 0

    @property
    def properties(self) -> list[Any]:
        """The fields of the properties section, in the order of the AMQP specification (part 3.2.4).

        All None without the section.
        """
        if self._properties is None:
            fields: list[Any] = []
            if self._properties_section:
                fields = _expect(list, decode_value(self._properties_section, _DESCRIPTOR_OCTETS)[0], "properties")
            self._properties = fields + [None] * (_PROPERTY_FIELDS - len(fields))
        return self._properties

    @property
    def application_properties(self) -> dict[str, Any]:
        """The user's properties. Do not change it: see ``with_application_properties``."""
        if self._application_properties is None:
            section = self._application_properties_section
            self._application_properties = (
                _expect(dict, decode_value(section, _DESCRIPTOR_OCTETS)[0], "application properties") if section else {}
            )
        return self._application_properties

    def _check_properties(self) -> None:
        # Decoded now: a malformed message is refused when it is sent, and does not fail when it is due or matched.
        _ = self.properties, self.application_properties

    def forget_decoded(self) -> None:
        """Free the decoded properties; they are decoded again when somebody asks."""
        self._properties = self._application_properties = None

    @property
    def message_id(self) -> Any:
        """The sender's id: a string, number, UUID or octets; None when there is none."""
        return self.properties[0]

    @property
    def body_sections(self) -> bytes:
        """The body and whatever follows it."""
        return self._remaining_sections

    def copy(self) -> Self:
        """Return a message of its own with the same content, which is shared."""
        return copy.copy(self)

    def with_application_properties(self, added: dict[str, str]) -> Self:
        """Return a copy that has these properties too."""
        changed = self.copy()
        changed._application_properties = {**self.application_properties, **added}
        changed._application_properties_section = encode_section(
            APPLICATION_PROPERTIES, changed._application_properties
        )
        return changed

    def content(self) -> bytes:
        """Encode what the sender gave (time to live as limited by the entity): enough to make the message again."""
        return self._encode(self._delivery_annotations, self._message_annotations)

    def encode(self) -> bytes:
        """Encode the message for a receiver, with the broker's annotations."""
        annotations = {
            **self._message_annotations,
            Symbol("x-opt-enqueued-time"): Timestamp(self.enqueued_ms),
            Symbol("x-opt-sequence-number"): Long(self.sequence_number),
            Symbol("x-opt-message-state"): int(self.state),
        }
        if self.enqueued_sequence_number is not None:
            annotations[Symbol("x-opt-enqueue-sequence-number")] = Long(self.enqueued_sequence_number)
        delivery_annotations = self._delivery_annotations
        if self.lock_token is not None:
            annotations[Symbol("x-opt-locked-until")] = Timestamp(self.locked_until_ms)
            delivery_annotations = {**delivery_annotations, Symbol(LOCK_TOKEN): self.lock_token}
        return self._encode(delivery_annotations, annotations)

    def _encode(self, delivery_annotations: dict[Any, Any], annotations: dict[Any, Any]) -> bytes:
        durable, priority, _, first_acquirer = self._header
        ttl = UInt(min(self.ttl_ms, _MAX_TTL_MS)) if self.ttl_ms is not None else None
        header = [durable, priority, ttl, first_acquirer, UInt(self.delivery_count)]
        return b"".join(
            (
                encode_section(HEADER, header),
                encode_section(DELIVERY_ANNOTATIONS, delivery_annotations) if delivery_annotations else b"",
                encode_section(MESSAGE_ANNOTATIONS, annotations) if annotations else b"",
                self._properties_section,
                self._application_properties_section,
                self._remaining_sections,
            )
        )


def sections(octets: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield descriptor, start, start of the value, and end of each section of a message. Raises DecodeError."""
    position = 0
    while position < len(octets):
        # A section is a described value with a numeric descriptor; senders use the short form, but need not.
        if octets[position] != 0:
            raise DecodeError(f"octet {position} of a message should start a section")
        descriptor, value_start = decode_value(octets, position + 1)
        end = end_of_value(octets, value_start)
        if value_start != position + _DESCRIPTOR_OCTETS or not isinstance(descriptor, int):
            raise DecodeError(f"the section at octet {position} of a message has an unusual descriptor")
        yield descriptor, position, value_start, end
        position = end


def encode_section(descriptor: int, value: Any) -> bytes:
    """Encode one section of a message."""
    return enc.described(descriptor, enc.encode_value(value))


def unpack_batch(octets: bytes) -> list[Message]:
    """Return the messages in a transfer of the batch format. Raises DecodeError; then none of them may be used."""
    return [
        Message(_expect(bytes, decode_value(octets, value_start)[0], "data"))
        for descriptor, _, value_start, _ in sections(octets)
        if descriptor == DATA
    ]


def _expect(kind: type[_Value], value: Any, section: str) -> _Value:
    if not isinstance(value, kind):
        raise DecodeError(f"the {section} section must hold a {kind.__name__}, not {type(value).__name__}")
    return value

"""The bodies of frames: AMQP performatives, SASL frames, delivery outcomes (parts 2.7, 5.3.3 and 3.4).

Fields are plain numbers and strings here; the wire type of each stands once in ``_SCHEMA``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from . import encoder as enc
from .decoder import decode_value
from .encoder import NULL
from .errors import DecodeError
from .types import Array, Described, Encoded, Symbol


class Open(NamedTuple):
    """Negotiates a connection. ``idle_time_out`` in milliseconds."""

    container_id: str = ""
    hostname: str | None = None
    max_frame_size: int | None = None
    channel_max: int | None = None
    idle_time_out: int | None = None
    outgoing_locales: Any = None
    incoming_locales: Any = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: dict[str, Any] | None = None


class Begin(NamedTuple):
    """Opens a session on a channel."""

    remote_channel: int | None = None
    next_outgoing_id: int = 0
    incoming_window: int = 0
    outgoing_window: int = 0
    handle_max: int | None = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: dict[str, Any] | None = None


class Attach(NamedTuple):
    """Opens a link. ``role`` is True for the receiving end."""

    name: str = ""
    handle: int = 0
    role: bool = False
    snd_settle_mode: int | None = None
    rcv_settle_mode: int | None = None
    source: Any = None
    target: Any = None
    unsettled: Any = None
    incomplete_unsettled: bool | None = None
    initial_delivery_count: int | None = None
    max_message_size: int | None = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: dict[str, Any] | None = None


class Flow(NamedTuple):
    """Updates windows of the session and, with a handle, the credit of a link."""

    next_incoming_id: int | None = None
    incoming_window: int = 0
    next_outgoing_id: int = 0
    outgoing_window: int = 0
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool | None = None
    echo: bool | None = None
    properties: dict[str, Any] | None = None


class Transfer(NamedTuple):
    """Carries a message, or with ``more`` a part of one, behind the performative."""

    handle: int = 0
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool | None = None
    more: bool | None = None
    rcv_settle_mode: int | None = None
    state: Any = None
    resume: bool | None = None
    aborted: bool | None = None
    batchable: bool | None = None


class Disposition(NamedTuple):
    """Tells the state of deliveries ``first`` to ``last``."""

    role: bool = False
    first: int = 0
    last: int | None = None
    settled: bool | None = None
    state: Any = None
    batchable: bool | None = None


class Detach(NamedTuple):
    """Closes a link. ``error`` is an encoded error value (see ``error``) when sent, Described when received."""

    handle: int = 0
    closed: bool | None = None
    error: Any = None


class End(NamedTuple):
    """Closes a session."""

    error: Any = None


class Close(NamedTuple):
    """Closes a connection."""

    error: Any = None


class SaslMechanisms(NamedTuple):
    """Offers the ways to authenticate."""

    sasl_server_mechanisms: Any = None


class SaslInit(NamedTuple):
    """Chooses a way to authenticate."""

    mechanism: str = ""
    initial_response: bytes | None = None
    hostname: str | None = None


class SaslOutcome(NamedTuple):
    """Ends authentication; code 0 is success."""

    code: int = 0
    additional_data: bytes | None = None


Performative = (
    Open
    | Begin
    | Attach
    | Flow
    | Transfer
    | Disposition
    | Detach
    | End
    | Close
    | SaslMechanisms
    | SaslInit
    | SaslOutcome
)
_FieldEncoder = Callable[[Any], bytes]
_any, _uint, _bool, _properties = enc.encode_value, enc.uint, enc.boolean, enc.symbol_mapping

_SCHEMA: dict[type, tuple[int, tuple[_FieldEncoder, ...]]] = {
    Open: (0x10, (enc.string, enc.string, _uint, enc.ushort, _uint, _any, _any, _any, _any, _properties)),
    Begin: (0x11, (enc.ushort, _uint, _uint, _uint, _uint, _any, _any, _properties)),
    Attach: (
        0x12,
        (
            enc.string, _uint, _bool, enc.ubyte, enc.ubyte, _any, _any,
            _any, _bool, _uint, enc.ulong, _any, _any, _properties,
        ),
    ),
    Flow: (0x13, (_uint, _uint, _uint, _uint, _uint, _uint, _uint, _uint, _bool, _bool, _properties)),
    Transfer: (0x14, (_uint, _uint, enc.binary, _uint, _bool, _bool, enc.ubyte, _any, _bool, _bool, _bool)),
    Disposition: (0x15, (_bool, _uint, _uint, _bool, _any, _bool)),
    Detach: (0x16, (_uint, _bool, _any)),
    End: (0x17, (_any,)),
    Close: (0x18, (_any,)),
    SaslMechanisms: (0x40, (_any,)),
    SaslInit: (0x41, (enc.symbol, enc.binary, enc.string)),
    SaslOutcome: (0x44, (enc.ubyte, enc.binary)),
}  # fmt: skip
_BY_DESCRIPTOR: dict[int, type] = {descriptor: kind for kind, (descriptor, _) in _SCHEMA.items()}


def encode_performative(performative: Performative) -> bytes:
    """Encode with every field present: Azure SDKs for Python before 7.15 index into trimmed lists."""
    descriptor, encoders = _SCHEMA[type(performative)]
    items = [NULL if value is None else encode(value) for encode, value in zip(encoders, performative, strict=True)]
    return enc.described(descriptor, enc.compound(0xC0, items))


def decode_performative(body: bytes) -> tuple[Performative, int]:
    """Decode the performative at the start of a frame body; return it and the position of the payload.

    Raises DecodeError for anything that is no performative of the specification.
    """
    value, end = decode_value(body)
    if not isinstance(value, Described) or not isinstance(value.value, list):
        raise DecodeError("a frame body must start with a performative")
    kind = _BY_DESCRIPTOR.get(value.descriptor)
    if kind is None:
        raise DecodeError(f"unknown performative {value.descriptor!r}")
    try:
        performative: Performative = kind(*value.value)
    except TypeError as error:
        raise DecodeError(
            f"{kind.__name__} has {len(value.value)} fields, more than the specification knows"
        ) from error
    return performative, end


ERROR, SOURCE, TARGET, COORDINATOR = 0x1D, 0x28, 0x29, 0x30
RECEIVED, ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x23, 0x24, 0x25, 0x26, 0x27


def error(condition: str, description: str) -> Encoded:
    """Encode an error.

    All three fields are there, because the SDK indexes them; without ``info`` it hangs on a rejected send.
    """
    items = [enc.symbol(condition), enc.string(description), NULL]
    return Encoded(enc.described(ERROR, enc.compound(0xC0, items)))


def _outcome(descriptor: int, fields: list[bytes]) -> Encoded:
    return Encoded(enc.described(descriptor, enc.compound(0xC0, fields) if fields else b"\x45"))


ACCEPTED_OUTCOME = _outcome(ACCEPTED, [])
RELEASED_OUTCOME = _outcome(RELEASED, [])
# A dead-lettering is echoed as "rejected" without an error: with one, the SDK takes it for a failure.
DEAD_LETTERED_OUTCOME = _outcome(REJECTED, [NULL])


def modified_outcome(*, undeliverable_here: bool) -> Encoded:
    """Encode the echo of an abandon or, undeliverable here, of a deferral."""
    return _outcome(MODIFIED, [enc.boolean(True), enc.boolean(undeliverable_here), NULL])


def rejected_outcome(condition: str, description: str) -> Encoded:
    """Encode the refusal of a message or of a settlement."""
    return _outcome(REJECTED, [error(condition, description)])


def fields_of(value: Any, descriptor: int, count: int) -> list[Any]:
    """Return the fields of a described list, filled up to ``count``; all None when ``value`` is not of that type."""
    found = value.value if isinstance(value, Described) and value.descriptor == descriptor else []
    fields = list(found) if isinstance(found, list) else []
    return fields + [None] * (count - len(fields))


def symbols(*names: str) -> Array:
    """Return an array of symbols."""
    return Array([Symbol(name) for name in names], Symbol)

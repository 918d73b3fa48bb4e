"""Between structs and the bytes of a message body: the one place where untyped input becomes typed."""

from __future__ import annotations

import msgspec

from libs.common.errors import TerminalError
from libs.common.messages.types import (
    DataLoaded,
    EventsExtracted,
    EventsValidated,
    GatePassed,
    Message,
    WeekRequested,
)

AnyMessage = WeekRequested | EventsExtracted | EventsValidated | DataLoaded | GatePassed

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyMessage] = msgspec.json.Decoder(AnyMessage)


class UndecodableMessageError(TerminalError):
    """The message's body is no message of ours, or of a type or version that this release does not know."""

    code = "undecodable_message"
    next_step = (
        "See what was sent with `retl dlq show`. A newer publisher than consumer needs the consumer updated; "
        "anything else can be discarded."
    )


def encode(message: Message) -> bytes:
    """JSON, UTF-8, with the tag under `type`."""
    return _encoder.encode(message)


def decode(body: bytes | str) -> AnyMessage:
    """The message in `body`. Raises UndecodableMessageError, which names the field at fault but quotes no content."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableMessageError(f"The message cannot be read: {error}.") from error

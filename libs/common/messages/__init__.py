"""The messages that the services hand each other: frozen tagged structs, JSON on the wire.

The tag carries the version (`events.extracted.v1`). Readers ignore fields that they do not know, so a field may be
added; a change that an old reader would misread gets a new tag. `examples/` holds one file for every version ever sent,
and a test decodes them for ever.
"""

from libs.common.messages.codec import UndecodableMessageError, decode, encode
from libs.common.messages.types import (
    BlobRef,
    DataLoaded,
    EventsExtracted,
    EventsValidated,
    GatePassed,
    Message,
    RunOptions,
    WeekRequested,
    message_id,
)

__all__ = [
    "BlobRef",
    "DataLoaded",
    "EventsExtracted",
    "EventsValidated",
    "GatePassed",
    "Message",
    "RunOptions",
    "UndecodableMessageError",
    "WeekRequested",
    "decode",
    "encode",
    "message_id",
]

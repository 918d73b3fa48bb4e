"""A message ready to go out, in the form that is also kept in the state tables."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from libs.common import telemetry
from libs.common.messages import Message, encode, message_id


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One message for one topic, recorded with the state row that it follows from, so that a crash can repeat it."""

    topic: str
    message_id: str
    body: str
    properties: dict[str, str] = {}
    """Application properties: `run_id`, `correlation_id`, trace context; `target` where one subscription is meant."""

    @classmethod
    def of(cls, message: Message, **properties: str) -> Outgoing:
        """Wrap a message under its deterministic id, with the trace context of the caller.

        The context is recorded here and not at the send, so that a message published by a later redelivery still
        belongs to the trace of the work that it tells about.
        """
        return cls(
            topic=message.topic,
            message_id=message_id(message),
            body=encode(message).decode(),
            properties={
                "run_id": message.run_id,
                "correlation_id": message.correlation_id,
                **telemetry.outgoing_context(),
                **properties,
            },
        )

    def to_json(self) -> str:
        """The form kept in the state tables."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Outgoing:
        """The reverse of `to_json`."""
        return msgspec.json.decode(text, type=cls)


class Publisher(Protocol):
    """Sends messages; returns when the broker has them. Raises BusError (transient or terminal) otherwise."""

    async def publish(self, *messages: Outgoing, not_before: datetime | None = None) -> None:
        """Send to their topics, in order; with `not_before` the broker holds them back until then."""

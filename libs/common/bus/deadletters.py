"""What was put aside in a subscription: look at it, send it again to that subscription only, or let it go."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import msgspec
from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

from libs.common.bus.envelope import Outgoing, Publisher
from libs.common.bus.errors import translate
from libs.common.bus.receiver import body_of, properties_of
from libs.common.errors import TerminalError

PEEK_BATCH = 100
_WAIT_SEC = 2.0
_REPLAY_SUFFIX = re.compile(r"#replay-\d+.*$")
_BROKERS_OWN = frozenset({"DeadLetterReason", "DeadLetterErrorDescription"})
_OF_THE_LAST_LIFE = frozenset({"attempt", "deferrals", "first_seen", "last_error"})


class DeadLetterMissingError(TerminalError):
    """No dead letter with this number or id is in the subscription."""

    code = "dead_letter_missing"
    next_step = "See what is there with `retl dlq list`; somebody else may have it locked for a minute."


class _Tagged(msgspec.Struct):
    type: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetteredMessage:
    """One message that was put aside."""

    message_id: str
    sequence: int
    type: str
    """The message's tag (`events.extracted.v1`); empty where the body is not one of ours."""
    run_id: str
    reason: str
    """The error's code."""
    description: str
    enqueued_at: datetime | None
    properties: Mapping[str, str]
    body: bytes


class DeadLetters:
    """The dead letters of one subscription, over one connection that is opened when first needed and kept."""

    def __init__(self, client: ServiceBusClient, publisher: Publisher, topic: str, subscription: str) -> None:
        self._client = client
        self._publisher = publisher
        self._topic = topic
        self._subscription = subscription
        self._receiver: ServiceBusReceiver | None = None
        self.entity = f"{topic}/{subscription}/$DeadLetterQueue"

    async def list(self, limit: int | None = None) -> AsyncIterator[DeadLetteredMessage]:
        """Look at them, oldest first, without taking any. Raises BusError."""
        seen, after = 0, 1  # not 0: the SDK would go on after what it received last
        while limit is None or seen < limit:
            batch = PEEK_BATCH if limit is None else min(PEEK_BATCH, limit - seen)
            async with self._connected() as receiver:
                messages = await receiver.peek_messages(max_message_count=batch, sequence_number=after)
            if not messages:
                return
            for message in messages:
                yield _read(message)
            seen += len(messages)
            after = (messages[-1].sequence_number or 0) + 1

    async def replay(self, which: int | str) -> Outgoing:
        """Send a copy to this subscription only, then take the dead letter away; what was sent.

        `which` is a sequence number or a message id. The copy has a fresh id, or duplicate detection would swallow it,
        and starts a new count of attempts. A crash in between leaves both, which consumers bear; never neither.
        Raises DeadLetterMissingError, BusError.
        """
        async with self._taken(which) as (receiver, message):
            copy = self._copy(_read(message))
            await self._publisher.publish(copy)
            await receiver.complete_message(message)
            return copy

    async def discard(self, which: int | str) -> DeadLetteredMessage:
        """Take it away for good; what it was. Raises DeadLetterMissingError, BusError."""
        async with self._taken(which) as (receiver, message):
            await receiver.complete_message(message)
            return _read(message)

    async def aclose(self) -> None:
        """Close the connection; a later call opens another."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            await receiver.close()

    def _copy(self, read: DeadLetteredMessage) -> Outgoing:
        replays = int(read.properties.get("replays", "0")) + 1
        kept = {
            key: value
            for key, value in read.properties.items()
            if key not in _BROKERS_OWN and key not in _OF_THE_LAST_LIFE
        }
        return Outgoing(
            topic=self._topic,
            message_id=f"{_REPLAY_SUFFIX.sub('', read.message_id)}#replay-{replays}",
            body=read.body.decode("utf-8", "surrogateescape"),
            properties={**kept, "target": self._subscription, "replays": str(replays)},
        )

    @asynccontextmanager
    async def _taken(self, which: int | str) -> AsyncIterator[tuple[ServiceBusReceiver, ServiceBusReceivedMessage]]:
        """The wanted message under lock.

        A broker gives messages in its own order, so others may come first: they stay locked while we look, and go back.
        """
        async with self._connected() as receiver:
            passed: list[ServiceBusReceivedMessage] = []
            try:
                while messages := await receiver.receive_messages(PEEK_BATCH, max_wait_time=_WAIT_SEC):
                    wanted = next((m for m in messages if which in (m.sequence_number, m.message_id)), None)
                    passed += [m for m in messages if m is not wanted]
                    if wanted is not None:
                        yield receiver, wanted
                        return
                raise DeadLetterMissingError(f"There is no message {which!r} in {self.entity}.")
            finally:
                for message in passed:
                    await receiver.abandon_message(message)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ServiceBusReceiver]:
        """The receiver, opened if need be; an error of the SDK is translated, and the next call starts afresh."""
        try:
            if self._receiver is None:
                self._receiver = self._client.get_subscription_receiver(
                    self._topic, self._subscription, sub_queue=ServiceBusSubQueue.DEAD_LETTER
                )
                await self._receiver.__aenter__()
            yield self._receiver
        except AzureError as error:
            await self.aclose()
            raise translate(error, self.entity) from error


def _read(message: ServiceBusReceivedMessage) -> DeadLetteredMessage:
    body = body_of(message)
    properties = properties_of(message)
    try:
        tagged = msgspec.json.decode(body, type=_Tagged)
    except (msgspec.DecodeError, UnicodeDecodeError):
        tagged = _Tagged()
    return DeadLetteredMessage(
        message_id=message.message_id or "",
        sequence=message.sequence_number or 0,
        type=tagged.type,
        run_id=tagged.run_id or properties.get("run_id", ""),
        reason=message.dead_letter_reason or "",
        description=message.dead_letter_error_description or "",
        enqueued_at=message.enqueued_time_utc,
        properties=properties,
        body=body,
    )

"""Sending: one sender a topic, opened when first needed (or warmed up at start) and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from datetime import datetime
from typing import Any

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

from libs.common.bus.envelope import Outgoing
from libs.common.bus.errors import BusUnavailableError, translate

SEND_TIMEOUT_SEC = 60.0
"""Longest that one send may take, the SDK's own reconnects included."""


class ServiceBusPublisher:
    """Implements `Publisher` on the official SDK.

    A sender is a connection whose opening takes half a second, so it is kept, and one send at a time uses it: the
    SDK's senders are not made for concurrent calls. A send once begun runs to its end even if its caller is cancelled,
    because half a frame would break the connection for the next message.
    """

    def __init__(self, client: ServiceBusClient) -> None:
        self._client = client
        self._senders: dict[str, ServiceBusSender] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._sends: set[asyncio.Task[None]] = set()

    async def publish(self, *messages: Outgoing, not_before: datetime | None = None) -> None:
        """See `Publisher.publish`."""
        for message in messages:
            await self._to_the_end(self._send(message, not_before), name=f"publish {message.message_id}")

    async def warm(self, topics: Iterable[str]) -> None:
        """Open the senders of these topics now, at once, so that the first message does not wait for it."""
        await asyncio.gather(*(self._open(topic) for topic in topics))

    async def aclose(self) -> None:
        """Let sends under way finish, then close the senders."""
        if self._sends:
            await asyncio.wait(self._sends, timeout=SEND_TIMEOUT_SEC)
        senders, self._senders = list(self._senders.values()), {}
        await asyncio.gather(*(sender.close() for sender in senders), return_exceptions=True)

    async def _open(self, topic: str) -> None:
        async with self._lock(topic):
            try:
                await self._sender(topic).__aenter__()
            except (AzureError, OSError, ValueError) as error:
                await self._discard(topic)
                raise translate(error, topic) from error

    async def _send(self, message: Outgoing, not_before: datetime | None) -> None:
        async with self._lock(message.topic):
            sender = self._sender(message.topic)
            frame = ServiceBusMessage(
                message.body,
                message_id=message.message_id,
                application_properties=dict[str | bytes, Any](message.properties.items()),
                content_type="application/json",
                correlation_id=message.properties.get("correlation_id"),
            )
            try:
                if not_before is None:
                    await sender.send_messages(frame, timeout=SEND_TIMEOUT_SEC)
                else:
                    await sender.schedule_messages(frame, not_before, timeout=SEND_TIMEOUT_SEC)
            except (AzureError, OSError, ValueError) as error:
                await self._discard(message.topic)
                raise translate(error, message.topic) from error
            except (AttributeError, TypeError) as error:
                # What the SDK trips over inside when its connection vanishes under a call.
                await self._discard(message.topic)
                raise BusUnavailableError(f"The connection for {message.topic} broke while sending.") from error

    def _sender(self, topic: str) -> ServiceBusSender:
        if topic not in self._senders:
            self._senders[topic] = self._client.get_topic_sender(topic)
        return self._senders[topic]

    async def _discard(self, topic: str) -> None:
        """After any error the next send starts from a fresh sender."""
        if sender := self._senders.pop(topic, None):
            await asyncio.gather(sender.close(), return_exceptions=True)

    def _lock(self, topic: str) -> asyncio.Lock:
        return self._locks.setdefault(topic, asyncio.Lock())

    async def _to_the_end(self, send: Awaitable[None], *, name: str) -> None:
        task = asyncio.ensure_future(send)
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)
        await asyncio.shield(task)

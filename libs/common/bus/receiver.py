"""Receiving from one subscription, in the way that the SDK makes safe and quick.

How the SDK behaves, and what follows from it (azure-servicebus 7.15):

- `receive_messages(n)` with n > 1 waits another 0.2 s for more after the first message, and leaves credit on the link
  that draws messages nobody waits for. One message a call comes back at once and leaves none: so always one,
  prefetch 0.
- After an error the SDK opens a new link inside the same receiver, where delivery ids start again: settling an older
  message could then settle somebody else's. So the client must be made with `retry_total=0`; after an error the
  receiver is replaced, and the old one is kept, unused but for settling (by lock token, through its management link),
  until its last message is settled.
- A write waits for a read in progress, 0.2 s at most. That delays a settlement, never a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

from libs.common.bus.errors import BusUnavailableError, LockLostError, translate

MAX_TEXT = 4096
"""Characters of a dead letter's reason and description that Service Bus keeps."""

RENEW_TIMEOUT_SEC = 10.0
"""Longest that a renewal waits for the broker, before it is tried again."""

_T = TypeVar("_T")

_FAULTS = (AzureError, OSError, ValueError, AttributeError, TypeError)
"""What SDK calls raise; the last two when their connection vanishes under them."""


class ServiceBusDelivery:
    """Implements `Delivery`."""

    def __init__(self, message: ServiceBusReceivedMessage, link: _Link) -> None:
        self._message = message
        self._link = link
        self.message_id = message.message_id or ""
        self.body = body_of(message)
        self.properties = properties_of(message)
        self.delivery_count = message.delivery_count or 0

    @property
    def locked_until(self) -> datetime:
        """See `Delivery.locked_until`."""
        return self._message.locked_until_utc or datetime.now(UTC)

    async def complete(self) -> None:
        """See `Delivery.complete`."""
        await self._settle(self._link.receiver.complete_message(self._message))

    async def abandon(self) -> None:
        """See `Delivery.abandon`."""
        await self._settle(self._link.receiver.abandon_message(self._message))

    async def dead_letter(self, *, reason: str, description: str) -> None:
        """See `Delivery.dead_letter`."""
        await self._settle(
            self._link.receiver.dead_letter_message(
                self._message, reason=reason[:MAX_TEXT], error_description=description[:MAX_TEXT]
            )
        )

    async def renew(self) -> datetime:
        """See `Delivery.renew`."""
        renewed: datetime | None = await self._link.call(
            self._link.receiver.renew_message_lock(self._message, timeout=RENEW_TIMEOUT_SEC)
        )
        if renewed is None:
            raise LockLostError(
                f"The broker did not say how long the lock on a message of {self._link.entity} is good."
            )
        return renewed

    async def _settle(self, call: Awaitable[None]) -> None:
        try:
            await self._link.call(call)
        finally:
            self._link.settled()


class _Link:
    """One SDK receiver, and how many of its messages are still with us."""

    def __init__(self, receiver: ServiceBusReceiver, entity: str) -> None:
        self.receiver = receiver
        self.entity = entity
        self._out = 0
        self._retired = False
        self._closing: asyncio.Future[Any] | None = None

    def handed_out(self) -> None:
        self._out += 1

    def settled(self) -> None:
        self._out -= 1
        self._close_if_unused()

    def retire(self) -> None:
        """Receive no more from it; it closes by itself when its last message is settled."""
        self._retired = True
        self._close_if_unused()

    async def call(self, call: Awaitable[_T]) -> _T:
        try:
            return await call
        except _FAULTS as error:
            raise translate(error, self.entity) from error

    async def aclose(self) -> None:
        if self._closing is None:
            await asyncio.gather(self.receiver.close(), return_exceptions=True)
        else:
            await self._closing

    def _close_if_unused(self) -> None:
        if self._retired and self._out == 0 and self._closing is None:
            self._closing = asyncio.ensure_future(asyncio.gather(self.receiver.close(), return_exceptions=True))


class SubscriptionReceiver:
    """Implements `Receiver` on a client that retries nothing by itself (see the module's docstring)."""

    def __init__(self, client: ServiceBusClient, topic: str, subscription: str) -> None:
        self._client = client
        self._topic = topic
        self._subscription = subscription
        self._link: _Link | None = None
        self._links: list[_Link] = []
        self.entity = f"{topic}/{subscription}"

    async def open(self) -> None:
        """See `Receiver.open`."""
        receiver = self._client.get_subscription_receiver(self._topic, self._subscription, prefetch_count=0)
        link = _Link(receiver, self.entity)
        try:
            await receiver.__aenter__()
        except BaseException as error:
            await asyncio.gather(receiver.close(), return_exceptions=True)
            if isinstance(error, _FAULTS):
                raise translate(error, self.entity) from error
            raise
        if self._link is not None:
            self._link.retire()
        self._links = [old for old in self._links if old._closing is None] + [link]
        self._link = link

    async def receive(self, max_wait_sec: float) -> ServiceBusDelivery | None:
        """See `Receiver.receive`."""
        link = self._link
        if link is None:
            raise BusUnavailableError(f"The receiver of {self.entity} is not open.")
        try:
            messages = await link.receiver.receive_messages(max_message_count=1, max_wait_time=max_wait_sec)
        except _FAULTS as error:
            raise translate(error, self.entity) from error
        if not messages:
            return None
        link.handed_out()
        return ServiceBusDelivery(messages[0], link)

    async def aclose(self) -> None:
        """See `Receiver.aclose`."""
        links, self._links, self._link = self._links, [], None
        await asyncio.gather(*(link.aclose() for link in links))


def body_of(message: ServiceBusReceivedMessage) -> bytes:
    """The bytes of a data body; of any other AMQP body the bytes of its text, which then will not decode."""
    body = message.body
    return b"".join(body) if not isinstance(body, (str, bytes)) and hasattr(body, "__iter__") else str(body).encode()


def properties_of(message: ServiceBusReceivedMessage) -> Mapping[str, str]:
    """Application properties as text: the SDK gives keys and values as bytes or as they were sent."""
    return {_text(key): _text(value) for key, value in (message.application_properties or {}).items()}


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

"""What the worker asks of a bus. `servicebus.py` answers with Azure Service Bus; unit tests with a fake."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol


class Delivery(Protocol):
    """One message, handed to us under a lock until it is settled, once, by one of the three verbs below.

    All methods raise LockLostError when the broker has taken the message back, BusError for anything else. Do not
    cancel a call: half a frame would break the connection for the messages beside it.
    """

    @property
    def message_id(self) -> str:
        """As the sender set it; empty where it set none."""

    @property
    def body(self) -> bytes:
        """The bytes sent."""

    @property
    def properties(self) -> Mapping[str, str]:
        """Application properties, as text."""

    @property
    def delivery_count(self) -> int:
        """How often it was delivered before (0 the first time)."""

    @property
    def locked_until(self) -> datetime:
        """When the lock runs out, UTC; moves with each renewal."""

    async def complete(self) -> None:
        """Done with it: the broker forgets it."""

    async def abandon(self) -> None:
        """Hand it back for immediate redelivery; the delivery count rises by one."""

    async def dead_letter(self, *, reason: str, description: str) -> None:
        """Put it aside for a person. Texts are cut at the 4,096 characters that the broker keeps."""

    async def renew(self) -> datetime:
        """Prolong the lock by the subscription's lock duration; the new end of it."""


class Receiver(Protocol):
    """The consuming end of one subscription. Not for concurrent `receive` calls."""

    @property
    def entity(self) -> str:
        """`topic/subscription`, for logs."""

    async def open(self) -> None:
        """Attach, or attach anew after an error; what was delivered before can still be settled. Raises BusError."""

    async def receive(self, max_wait_sec: float) -> Delivery | None:
        """The next message, or None after the wait. Raises BusError; then `open` again."""

    async def aclose(self) -> None:
        """Detach; a message that came in but was not handed out goes back to the broker uncounted."""

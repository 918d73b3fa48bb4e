"""The end of an entity that clients receive from."""

import uuid
from typing import Any

from ..amqp import performatives as p
from ..amqp.errors import DEAD_LETTER, NOT_FOUND, NOT_IMPLEMENTED, AmqpError
from ..amqp.link import OutgoingLink
from ..amqp.types import Described, Encoded
from ..broker.message import Message
from ..broker.queue import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_REASON, MessageQueue


class EntitySource:
    """Delivers a queue's messages to one link: the link's source and the queue's consumer."""

    def __init__(self, queue: MessageQueue, link: OutgoingLink) -> None:
        self._queue = queue
        self._link = link
        self.removes_on_delivery = link.sends_settled

    def start(self) -> None:
        """Begin to compete for messages."""
        self._queue.attach(self)

    # Consumer of the queue

    @property
    def credit(self) -> int:
        """How many more messages the client wants."""
        return self._link.credit if self._link.is_open else 0

    def deliver(self, message: Message) -> None:
        """Send a message to the client."""
        if message.lock_token is None:
            self._link.send(message.encode(), uuid.uuid4().bytes_le)
        else:
            # The delivery tag is the lock token in .NET's octet order; clients settle through $management by it.
            self._link.send(message.encode(), message.lock_token.bytes_le, delivery=message.lock_token)

    def entity_deleted(self, path: str) -> None:
        """Close the link."""
        self._link.detach(NOT_FOUND, f"The messaging entity '{path}' was deleted.")

    # Source of the link

    def credit_changed(self) -> None:
        """Send what there is."""
        self._queue.pump()

    def closed(self) -> None:
        """Stop competing for messages."""
        self._queue.detach(self)

    def settle(self, delivery: Any, outcome: Any) -> Encoded:
        """Apply an outcome to the message with a lock token. Raises AmqpError, LockLostError above all."""
        descriptor = outcome.descriptor if isinstance(outcome, Described) else None
        if descriptor == p.ACCEPTED:
            self._queue.complete(delivery)
            return p.ACCEPTED_OUTCOME
        if descriptor == p.RELEASED:
            self._queue.release(delivery)
            return p.RELEASED_OUTCOME
        if descriptor == p.MODIFIED:
            undeliverable_here = bool(p.fields_of(outcome, p.MODIFIED, 3)[1])
            if undeliverable_here:
                self._queue.defer(delivery)
            else:
                self._queue.abandon(delivery)
            return p.modified_outcome(undeliverable_here=undeliverable_here)
        if descriptor == p.REJECTED:
            self._queue.dead_letter(delivery, *_dead_letter_reason(outcome))
            return p.DEAD_LETTERED_OUTCOME
        raise AmqpError(NOT_IMPLEMENTED, f"A delivery cannot be settled with the outcome {descriptor!r}.")


def _dead_letter_reason(outcome: Described) -> tuple[str | None, str | None]:
    condition, description, info = p.fields_of(p.fields_of(outcome, p.REJECTED, 1)[0], p.ERROR, 3)[:3]
    if condition is None:
        return None, None
    if condition == DEAD_LETTER and isinstance(info, dict):
        reason, text = info.get(DEAD_LETTER_REASON), info.get(DEAD_LETTER_DESCRIPTION)
        return None if reason is None else str(reason), None if text is None else str(text)
    # Clients of plain AMQP give an error of their own.
    return str(condition), None if description is None else str(description)

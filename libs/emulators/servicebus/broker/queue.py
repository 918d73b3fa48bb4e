"""Messages that compete for consumers: the inside of a queue, a subscription, or the dead-letter queue of either."""

import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from typing import Protocol

from .errors import MessageNotFoundError, OperationNotAllowedError
from .journal import Journal
from .locks import Locks
from .message import Message, MessageState
from .scheduler import Scheduler, Timer
from .sequence import SequenceNumbers
from .settings import DeliverySettings

DEAD_LETTER_REASON, DEAD_LETTER_DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"
_EXPIRED = ("TTLExpiredException", "The message expired and was dead lettered.")
_TOO_MANY_DELIVERIES = "MaxDeliveryCountExceeded"


class Consumer(Protocol):
    """A receiver that is attached to a queue."""

    @property
    def credit(self) -> int:
        """How many more messages it wants."""

    @property
    def removes_on_delivery(self) -> bool:
        """True for receive-and-delete."""

    def deliver(self, message: Message) -> None:
        """Take a message, and with it one credit away."""

    def entity_deleted(self, path: str) -> None:
        """Hear that the queue is gone."""


class MessageQueue:
    """One queue of messages.

    ``dead_letters`` is None for a dead-letter queue: nothing expires or is counted out there.
    """

    def __init__(
        self,
        *,
        path: str,
        settings: DeliverySettings,
        scheduler: Scheduler,
        journal: Journal,
        dead_letters: "MessageQueue | None" = None,
    ) -> None:
        self.path = path
        self.settings = settings
        self.dead_letters = dead_letters
        self._scheduler = scheduler
        self._journal = journal
        self._sequence = SequenceNumbers(path, journal)
        self._messages: dict[int, Message] = {}
        self._ready: list[int] = []  # heap; may hold numbers of messages that are gone or not ready any more
        self._locks = Locks(scheduler, self._lock_expired)
        self._timers: dict[int, Timer] = {}  # a message's activation or expiry, by sequence number
        self._consumers: list[Consumer] = []
        self._turn = 0

    # Arrival

    def enqueue(self, message: Message) -> int:
        """Add a message for delivery now; return its sequence number."""
        message.sequence_number = self._sequence.take()
        message.state = MessageState.ACTIVE
        if self.dead_letters is not None:
            message.enqueued_ms = self._scheduler.now_ms()
            limits = [ttl for ttl in (message.ttl_ms, self.settings.default_ttl_ms) if ttl is not None]
            message.ttl_ms = min(limits) if limits else None
            message.expires_ms = message.enqueued_ms + message.ttl_ms if message.ttl_ms is not None else None
        self._journal.insert_message(self.path, message)
        self._add(message)
        self.pump()
        return message.sequence_number

    def schedule(self, message: Message, due_ms: int) -> int:
        """Add a message for delivery at ``due_ms``; return the sequence number that it has until then."""
        message.sequence_number = self._sequence.take()
        message.state = MessageState.SCHEDULED
        message.scheduled_ms = due_ms
        message.enqueued_ms = self._scheduler.now_ms()
        self._journal.insert_message(self.path, message)
        self._add(message)
        return message.sequence_number

    def cancel_scheduled(self, sequence_numbers: Sequence[int]) -> None:
        """Remove scheduled messages: all of them or, when MessageNotFoundError is raised, none."""
        for message in self._find(sequence_numbers, MessageState.SCHEDULED, "scheduled"):
            self._remove(message)

    def restore(self, messages: Sequence[Message], next_sequence_number: int) -> None:
        """Take over what a journal kept, in the order of sequence numbers; before any consumer is attached."""
        self._sequence = SequenceNumbers(self.path, self._journal, next_sequence_number)
        for message in messages:
            self._add(message)

    def _add(self, message: Message) -> None:
        number = message.sequence_number
        self._messages[number] = message
        message.forget_decoded()
        if message.state is MessageState.SCHEDULED:
            self._set_timer(number, message.scheduled_ms or 0, partial(self._activate, message))
            return
        if message.expires_ms is not None:
            self._set_timer(number, message.expires_ms, partial(self._expire_if_due, message))
        if message.state is MessageState.ACTIVE:
            heappush(self._ready, number)

    def _activate(self, message: Message) -> None:
        # An activated message gets a new sequence number, as in Azure, and its time to live starts now.
        self._remove(message)
        self.enqueue(message)

    # Delivery

    def attach(self, consumer: Consumer) -> None:
        """Let a consumer compete for messages."""
        self._consumers.append(consumer)
        self.pump()

    def detach(self, consumer: Consumer) -> None:
        """Stop delivering to a consumer. What it has locked stays locked until the locks expire."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)

    def pump(self) -> None:
        """Deliver ready messages, lowest sequence number first, to consumers with credit in turn."""
        while self._ready and (consumer := self._next_consumer()) is not None:
            message = self._next_ready()
            if message is None:
                return
            if consumer.removes_on_delivery:
                self._remove(message)
            else:
                self._lock(message)
            consumer.deliver(message)

    def _next_consumer(self) -> Consumer | None:
        for _ in range(len(self._consumers)):
            consumer = self._consumers[self._turn % len(self._consumers)]
            self._turn = (self._turn + 1) % len(self._consumers)
            if consumer.credit > 0:
                return consumer
        return None

    def _next_ready(self) -> Message | None:
        while self._ready:
            message = self._messages.get(heappop(self._ready))
            if message is None or message.state is not MessageState.ACTIVE or message.lock_token is not None:
                continue
            if not self._expire_if_due(message):
                return message
        return None

    def _lock(self, message: Message) -> None:
        self._locks.take(message, self.settings.lock_duration_ms)

    def _lock_expired(self, message: Message) -> None:
        self._unlock(message, failed=True)

    def _unlock(self, message: Message, *, failed: bool) -> None:
        self._locks.drop(message)
        if failed:
            message.delivery_count += 1
            if self.dead_letters is not None and message.delivery_count >= self.settings.max_delivery_count:
                description = f"Message could not be consumed after {message.delivery_count} delivery attempts."
                self._move_to_dead_letters(message, _TOO_MANY_DELIVERIES, description)
                return
            self._journal.update_message(self.path, message)
        if message.state is MessageState.ACTIVE and not self._expire_if_due(message):
            heappush(self._ready, message.sequence_number)
            self.pump()

    # Settlement; each raises LockLostError unless the token is held

    def complete(self, token: uuid.UUID) -> None:
        """Remove a message for good."""
        self._remove(self._locks.held(token))

    def abandon(self, token: uuid.UUID) -> None:
        """Give a message back; the delivery counts."""
        self._unlock(self._locks.held(token), failed=True)

    def release(self, token: uuid.UUID) -> None:
        """Give a message back as if it had never been delivered."""
        self._unlock(self._locks.held(token), failed=False)

    def defer(self, token: uuid.UUID) -> None:
        """Put a message aside, to be received by its sequence number only."""
        message = self._locks.held(token)
        self._locks.drop(message)
        message.state = MessageState.DEFERRED
        self._journal.update_message(self.path, message)

    def dead_letter(self, token: uuid.UUID, reason: str | None, description: str | None) -> None:
        """Move a message to the dead-letter queue. Raises OperationNotAllowedError when this is one."""
        message = self._locks.held(token)
        if self.dead_letters is None:
            raise OperationNotAllowedError("A message in a dead-letter queue cannot be dead-lettered again.")
        self._move_to_dead_letters(message, reason, description)

    def renew(self, token: uuid.UUID) -> int:
        """Lock a message for the lock duration from now; return the time of expiry."""
        return self._locks.renew(token, self.settings.lock_duration_ms)

    def expire_locks(self) -> int:
        """Let every lock expire now; return how many there were."""
        return self._locks.expire_all()

    # Leaving

    def _remove(self, message: Message) -> None:
        self._locks.drop(message)
        del self._messages[message.sequence_number]
        self._cancel_timer(message.sequence_number)
        self._journal.delete_message(self.path, message.sequence_number)

    def _move_to_dead_letters(self, message: Message, reason: str | None, description: str | None) -> None:
        assert self.dead_letters is not None  # the callers know it
        self._remove(message)
        told = {DEAD_LETTER_REASON: reason, DEAD_LETTER_DESCRIPTION: description}
        dead = message.with_application_properties({name: text for name, text in told.items() if text is not None})
        dead.expires_ms = None
        self.dead_letters.enqueue(dead)

    def _expire_if_due(self, message: Message) -> bool:
        """Remove or dead-letter an expired message.

        One that is locked or deferred stays until it is neither, as in Azure.
        """
        if not self._is_due(message) or message.lock_token is not None or message.state is not MessageState.ACTIVE:
            return False
        self._expire(message)
        return True

    def _is_due(self, message: Message) -> bool:
        return message.expires_ms is not None and message.expires_ms <= self._scheduler.now_ms()

    def _expire(self, message: Message) -> None:
        if self.settings.dead_letters_expired:
            self._move_to_dead_letters(message, *_EXPIRED)
        else:
            self._remove(message)

    def _set_timer(self, number: int, due_ms: int, action: Callable[[], object]) -> None:
        self._timers[number] = self._scheduler.call_at(due_ms, action)

    def _cancel_timer(self, number: int) -> None:
        timer = self._timers.pop(number, None)
        if timer is not None:
            timer.cancel()

    # Looking and fetching

    def peek(self, from_sequence_number: int, count: int) -> list[Message]:
        """Return up to ``count`` messages in any state, from a sequence number on, without locking them."""
        numbers = list(self._messages)
        messages: list[Message] = []
        for number in numbers[bisect_left(numbers, from_sequence_number) :]:
            if len(messages) == count:
                break
            message = self._messages[number]
            if not self._expire_if_due(message):
                messages.append(message)
        return messages

    def receive_deferred(self, sequence_numbers: Sequence[int], *, lock: bool) -> list[Message]:
        """Lock or remove deferred messages: all of them or, when MessageNotFoundError is raised, none."""
        messages = self._find(sequence_numbers, MessageState.DEFERRED, "deferred, unlocked")
        for message in messages:
            # Deferred messages expire when somebody asks for them, not before.
            if self._is_due(message):
                self._expire(message)
                raise MessageNotFoundError(message.sequence_number, "unexpired deferred")
        for message in messages:
            if lock:
                self._lock(message)
            else:
                self._remove(message)
        return messages

    def _find(self, sequence_numbers: Sequence[int], state: MessageState, wanted: str) -> list[Message]:
        found = []
        for number in dict.fromkeys(sequence_numbers):
            message = self._messages.get(number)
            if message is None or message.state is not state or message.lock_token is not None:
                raise MessageNotFoundError(number, wanted)
            found.append(message)
        return found

    def count_by_state(self) -> Counter[MessageState]:
        """Return how many messages there are in each state."""
        return Counter(message.state for message in self._messages.values())

    @property
    def locked_count(self) -> int:
        """How many messages are locked."""
        return len(self._locks)

    @property
    def consumer_count(self) -> int:
        """How many receivers are attached."""
        return len(self._consumers)

    def close(self) -> None:
        """End the queue: no timer fires any more, consumers hear of it. What the journal has stays."""
        self._locks.close()
        for timer in self._timers.values():
            timer.cancel()
        consumers, self._consumers = self._consumers, []
        for consumer in consumers:
            consumer.entity_deleted(self.path)

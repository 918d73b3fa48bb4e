"""The locks that receivers hold on a queue's messages."""

import uuid
from collections.abc import Callable
from functools import partial

from .errors import LockLostError
from .message import Message
from .scheduler import Scheduler, Timer


class Locks:
    """Locks by token. ``expired`` is called with a message whose lock ran out; it must drop the lock."""

    def __init__(self, scheduler: Scheduler, expired: Callable[[Message], None]) -> None:
        self._scheduler = scheduler
        self._expired = expired
        self._messages: dict[uuid.UUID, Message] = {}
        self._timers: dict[uuid.UUID, Timer] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def take(self, message: Message, duration_ms: int) -> None:
        """Lock a message that is not locked."""
        token = message.lock_token = uuid.uuid4()
        message.locked_until_ms = self._scheduler.now_ms() + duration_ms
        self._messages[token] = message
        self._watch(token, message.locked_until_ms)

    def held(self, token: uuid.UUID) -> Message:
        """Return the message with a lock token. Raises LockLostError when the lock is not, or no longer, held."""
        message = self._messages.get(token)
        if message is None:
            raise LockLostError
        return message

    def renew(self, token: uuid.UUID, duration_ms: int) -> int:
        """Let a lock last for ``duration_ms`` from now; return the time of expiry. Raises LockLostError."""
        message = self.held(token)
        message.locked_until_ms = self._scheduler.now_ms() + duration_ms
        return message.locked_until_ms

    def drop(self, message: Message) -> None:
        """Unlock a message; nothing happens to one that is not locked."""
        if message.lock_token is not None:
            del self._messages[message.lock_token]
            self._timers.pop(message.lock_token).cancel()
            message.lock_token = None

    def expire_all(self) -> int:
        """Let every lock run out now; return how many there were."""
        messages = list(self._messages.values())
        for message in messages:
            self._expired(message)
        return len(messages)

    def close(self) -> None:
        """Let no lock run out any more."""
        for timer in self._timers.values():
            timer.cancel()

    def _watch(self, token: uuid.UUID, due_ms: int) -> None:
        self._timers[token] = self._scheduler.call_at(due_ms, partial(self._due, token))

    def _due(self, token: uuid.UUID) -> None:
        message = self._messages[token]
        if message.locked_until_ms > self._scheduler.now_ms():  # renewed meanwhile
            self._watch(token, message.locked_until_ms)
        else:
            self._expired(message)

"""A broker in the test's hand: time that the test advances, consumers that record, messages as a client sends them."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from libs.emulators.servicebus.amqp.types import Symbol, Timestamp, UInt
from libs.emulators.servicebus.broker.message import (
    APPLICATION_PROPERTIES,
    DATA,
    HEADER,
    MESSAGE_ANNOTATIONS,
    PROPERTIES,
    SCHEDULED_ENQUEUE_TIME,
    Message,
    encode_section,
)
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.broker.settings import QueueSettings
from tests.unit.emulators.servicebus.wire import Client

START_MS = 1_700_000_000_000


class ManualTimer:
    """A pending call that can be cancelled."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        self.action = None


class ManualScheduler:
    """Time stands still until the test advances it; then what is due happens, in order."""

    def __init__(self) -> None:
        self._now_ms = START_MS
        self._timers: list[tuple[int, int, ManualTimer]] = []
        self._order = count()

    def now_ms(self) -> int:
        return self._now_ms

    def call_at(self, due_ms: int, action: Callable[[], object]) -> ManualTimer:
        timer = ManualTimer(action)
        heapq.heappush(self._timers, (due_ms, next(self._order), timer))
        return timer

    def advance(self, milliseconds: int) -> None:
        until = self._now_ms + milliseconds
        while self._timers and self._timers[0][0] <= until:
            due_ms, _, timer = heapq.heappop(self._timers)
            self._now_ms = max(self._now_ms, due_ms)
            action, timer.action = timer.action, None
            if action is not None:
                action()
        self._now_ms = until

    def forget(self) -> None:
        """Let no pending call happen, as the end of a process does."""
        self._timers.clear()

    @property
    def pending(self) -> int:
        """How many calls are still to come."""
        return sum(timer.action is not None for _, _, timer in self._timers)


class RecordingConsumer:
    """Takes as many messages as it has credit for."""

    def __init__(self, credit: int, *, removes_on_delivery: bool = False) -> None:
        self.credit = credit
        self.removes_on_delivery = removes_on_delivery
        self.messages: list[Message] = []
        self.deleted_path: str | None = None

    def deliver(self, message: Message) -> None:
        self.credit -= 1
        self.messages.append(message)

    def entity_deleted(self, path: str) -> None:
        self.deleted_path = path

    @property
    def last(self) -> Any:
        """The message that came last; its lock token is not None while it is locked."""
        return self.messages[-1]

    @property
    def ids(self) -> list[Any]:
        """The ids of all messages that came, in order."""
        return [message.message_id for message in self.messages]


@pytest.fixture
def scheduler() -> ManualScheduler:
    return ManualScheduler()


@pytest.fixture
def namespace(scheduler: ManualScheduler) -> Namespace:
    return Namespace(scheduler)


@pytest.fixture
def consumer() -> Callable[..., RecordingConsumer]:
    """Make consumers."""
    return RecordingConsumer


@pytest.fixture
def message(scheduler: ManualScheduler) -> Callable[..., Message]:
    """Make messages as a client sends them."""
    return MessageFactory(scheduler)


class MessageFactory:
    """Makes messages; ``properties`` are application properties."""

    def __init__(self, scheduler: ManualScheduler) -> None:
        self._scheduler = scheduler

    def __call__(
        self,
        message_id: Any = None,
        *,
        ttl_ms: int | None = None,
        delay_ms: int | None = None,
        label: str | None = None,
        correlation_id: str | None = None,
        **properties: Any,
    ) -> Message:
        return Message(
            self.octets(
                message_id, ttl_ms=ttl_ms, delay_ms=delay_ms, label=label, correlation_id=correlation_id, **properties
            )
        )

    def octets(
        self,
        message_id: Any = None,
        *,
        ttl_ms: int | None = None,
        delay_ms: int | None = None,
        label: str | None = None,
        correlation_id: str | None = None,
        **properties: Any,
    ) -> bytes:
        """Return a message as it is on the wire."""
        annotations = {}
        if delay_ms is not None:
            annotations[Symbol(SCHEDULED_ENQUEUE_TIME)] = Timestamp(self._scheduler.now_ms() + delay_ms)
        return b"".join(
            (
                encode_section(HEADER, [True, None, None if ttl_ms is None else UInt(ttl_ms)]),
                encode_section(MESSAGE_ANNOTATIONS, annotations),
                encode_section(PROPERTIES, [message_id, None, None, label, None, correlation_id]),
                encode_section(APPLICATION_PROPERTIES, properties),
                encode_section(DATA, b"body"),
            )
        )


@pytest.fixture(name="client")
async def opened_client(namespace: Namespace) -> Client:
    """A client with a session, and the queue q."""
    namespace.create_queue("q", QueueSettings())
    client = Client(namespace)
    await client.open()
    return client

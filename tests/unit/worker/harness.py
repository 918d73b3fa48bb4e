"""A bus in memory that implements the ports, a clock that stands still, and builders with overrides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import structlog

from libs.common.alerts import AlertKind, Alerts
from libs.common.bus.envelope import Outgoing
from libs.common.bus.errors import BusError, LockLostError
from libs.common.messages import BlobRef, EventsExtracted, Message, WeekRequested, encode
from libs.common.metrics import Metrics
from libs.common.outcome import Done, Outcome
from libs.common.retry import RetryPolicy
from libs.common.state import Failure, Run, RunStatus, Stage, State
from libs.common.worker.actions import Action
from libs.common.worker.admission import Admission
from libs.common.worker.consumer import Consumer, Work
from libs.common.worker.endings import Endings
from libs.common.worker.locks import LockKeeper

NOW = datetime(2025, 1, 13, 6, tzinfo=UTC)


class ManualClock:
    """Time moves by `advance` only; sleepers wake when it has passed them."""

    def __init__(self, now: datetime = NOW) -> None:
        self._start = self._now = now
        self._sleepers: list[tuple[datetime, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._sleepers.append((self._now + timedelta(seconds=seconds), woken))
        await woken.wait()

    async def advance(self, seconds: float) -> None:
        """Pass so much time, letting whoever wakes up run until it sleeps again."""
        self._now += timedelta(seconds=seconds)
        for due, woken in self._sleepers:
            (woken.set if due <= self._now else lambda: None)()
        self._sleepers = [(due, woken) for due, woken in self._sleepers if not woken.is_set()]
        await settle_down()

    @property
    def sleepers(self) -> int:
        return len(self._sleepers)


async def settle_down() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Poll for what other tasks (and threads of the state tables) bring about, five seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)


class FakeDelivery:
    """Implements `Delivery`; `settled` says how it ended."""

    def __init__(
        self,
        body: bytes,
        *,
        clock: ManualClock,
        message_id: str = "m",
        properties: dict[str, str] | None = None,
        delivery_count: int = 0,
        lock_sec: float = 60.0,
    ) -> None:
        self.body = body
        self.message_id = message_id
        self.properties = properties or {}
        self.delivery_count = delivery_count
        self.locked_until = clock.now() + timedelta(seconds=lock_sec)
        self.settled: list[str] = []
        self.dead: tuple[str, str] | None = None
        self.renewals = 0
        self.renewal_error: Exception | None = None
        self.settle_error: Exception | None = None
        self._clock = clock
        self._lock_sec = lock_sec

    async def complete(self) -> None:
        self._settle("complete")

    async def abandon(self) -> None:
        self._settle("abandon")

    async def dead_letter(self, *, reason: str, description: str) -> None:
        self._settle("dead_letter")
        self.dead = (reason, description)

    async def renew(self) -> datetime:
        if self.renewal_error is not None:
            raise self.renewal_error
        if self._clock.now() > self.locked_until:
            raise LockLostError
        self.renewals += 1
        self.locked_until = self._clock.now() + timedelta(seconds=self._lock_sec)
        return self.locked_until

    def _settle(self, how: str) -> None:
        if self.settle_error is not None:
            raise self.settle_error
        self.settled.append(how)


class FakeReceiver:
    """Implements `Receiver` over a list; a scripted exception in the list is raised where it stands."""

    def __init__(self) -> None:
        self.entity = "events.extracted/validator"
        self.waiting: asyncio.Queue[FakeDelivery | BusError] = asyncio.Queue()
        self.open_errors: list[BusError] = []
        self.opened = 0
        self.asked = 0
        self.closed = False
        self.receiving = asyncio.Event()

    async def open(self) -> None:
        if self.open_errors:
            raise self.open_errors.pop(0)
        self.opened += 1

    async def receive(self, max_wait_sec: float) -> FakeDelivery | None:
        self.receiving.set()
        self.asked += 1
        try:
            item = await asyncio.wait_for(self.waiting.get(), 0.01)
        except TimeoutError:
            return None
        if isinstance(item, BusError):
            raise item
        return item

    async def aclose(self) -> None:
        self.closed = True


class RecordingPublisher:
    """Implements `Publisher`."""

    def __init__(self) -> None:
        self.sent: list[tuple[Outgoing, datetime | None]] = []
        self.error: Exception | None = None
        self.before_send: Callable[[], None] = lambda: None

    async def publish(self, *messages: Outgoing, not_before: datetime | None = None) -> None:
        self.before_send()
        if self.error is not None:
            raise self.error
        self.sent += [(message, not_before) for message in messages]


class RecordingAlerts(Alerts):
    """Alerts that are kept instead of posted."""

    def __init__(self, clock: ManualClock, metrics: Metrics) -> None:
        super().__init__(log=structlog.get_logger(), clock=clock, metrics=metrics)
        self.sent: list[tuple[AlertKind, str | None, str]] = []

    async def send(self, run: Run | None, stage: Stage | None, failure: Failure, kind: AlertKind) -> None:
        self.sent.append((kind, run.run_id if run else None, failure.code))


BLOB = BlobRef(url="file:///lake/x", sha256="0" * 64, size_bytes=1, rows=1)


def week_requested(run_id: str = "run-1", **overrides: Any) -> WeekRequested:
    values: dict[str, Any] = {
        "run_id": run_id,
        "pipeline_name": "p",
        "week_start": date(2025, 1, 6),
        "week_end": date(2025, 1, 12),
        "correlation_id": "c-1",
        "requested_by": "test",
        "requested_at": NOW,
    }
    return WeekRequested(**values | overrides)


def events_extracted(run_id: str = "run-1", part: int = 0) -> EventsExtracted:
    request = week_requested(run_id)
    return EventsExtracted(
        run_id=run_id,
        pipeline_name=request.pipeline_name,
        week_start=request.week_start,
        week_end=request.week_end,
        correlation_id=request.correlation_id,
        part=part,
        raw=BLOB,
        first_page=1,
        last_page=1,
    )


class Harness:
    """A validator's consumer on the fakes and on real state tables; `handler` is the test's."""

    def __init__(self, state: State) -> None:
        self.clock = ManualClock()
        self.state: Any = state
        self.publisher = RecordingPublisher()
        self.metrics = Metrics("validator")
        self.alerts = RecordingAlerts(self.clock, self.metrics)
        self.log = structlog.testing.CapturingLogger()
        self.locks = LockKeeper(clock=self.clock, metrics=self.metrics, log=structlog.wrap_logger(self.log))
        self.handled: list[Message] = []
        self.handler: Callable[[Any], Awaitable[Outcome]] = self._note
        self.delays_sec: tuple[float, ...] = (300.0, 600.0, 1200.0)
        self.admits: frozenset[RunStatus] | None = frozenset({RunStatus.STARTED})
        self.consumes: type[Message] = EventsExtracted
        self.stage = Stage.VALIDATE
        self.budget_sec = 30.0

    def gauge(self, name: str) -> float | None:
        """As scraped."""
        return self.metrics.registry.get_sample_value(name, {"service": "validator"})

    async def _note(self, message: Message) -> Outcome:
        self.handled.append(message)
        return Done()

    def work_for_ever(self) -> asyncio.Event:
        """Let the handler never end by itself; the event says that it has begun."""
        started = asyncio.Event()

        async def working(_message: Message) -> Outcome:
            started.set()
            await asyncio.Event().wait()
            return Done()

        self.handler = working
        return started

    async def open_run(self, run_id: str = "run-1", **overrides: Any) -> Run:
        run: Run = await self.state.open_run(week_requested(run_id, **overrides), self.clock.now())
        return run

    async def status(self, run_id: str = "run-1") -> RunStatus:
        run = await self.state.get_run(run_id)
        return RunStatus(run.status)

    def delivery(self, message: Message | None = None, **overrides: Any) -> FakeDelivery:
        message = message or events_extracted()
        values: dict[str, Any] = {
            "message_id": f"{message.run_id}/{message.topic}/00000",
            "properties": {"run_id": message.run_id, "correlation_id": message.correlation_id},
            "clock": self.clock,
        }
        return FakeDelivery(encode(message), **values | overrides)

    def consumer(self) -> Consumer[Any]:
        log = structlog.wrap_logger(self.log, processors=[structlog.contextvars.merge_contextvars, _as_fields])
        return Consumer(
            Work(
                service="validator",
                consumes=self.consumes,
                handler=lambda message: self.handler(message),
                budget_sec=self.budget_sec,
            ),
            admission=Admission(self.state, self.clock, admits=self.admits, run_budget_sec=4 * 3600),
            endings=Endings(
                topic=self.consumes.topic,
                subscription="validator",
                stage=self.stage,
                state=self.state,
                publisher=self.publisher,
                alerts=self.alerts,
                clock=self.clock,
                policy=RetryPolicy(delays_sec=self.delays_sec, draw=lambda: 0.0),
            ),
            locks=self.locks,
            clock=self.clock,
            metrics=self.metrics,
            log=log,
        )

    async def consume(self, delivery: FakeDelivery) -> Action:
        action = await self.consumer().consume(delivery)
        await asyncio.sleep(0)  # the canonical line comes a turn later
        return action

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The canonical lines."""
        return [call.kwargs for call in self.log.calls if call.kwargs.get("event") == "message"]


def _as_fields(_logger: Any, _method: str, event: Any) -> tuple[tuple[()], dict[str, Any]]:
    return (), dict(event)

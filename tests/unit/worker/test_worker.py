from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from libs.common.bus.errors import BusUnavailableError, EntityMissingError
from libs.common.errors import TransientError
from libs.common.health import Health
from libs.common.outcome import Done, Outcome
from libs.common.worker.killswitch import KillSwitch, SwitchPolicy, SwitchState
from libs.common.worker.worker import Worker
from tests.unit.worker.harness import FakeReceiver, Harness, events_extracted, settle_down, until


class Running:
    """A worker on the fakes, in a task of its own."""

    def __init__(self, harness: Harness, *, concurrency: int = 2, grace_sec: float = 0.05) -> None:
        self.receiver = FakeReceiver()
        self.health = Health(harness.clock)
        self.switch = KillSwitch(SwitchPolicy(window=4, least=4, pause_sec=60), harness.clock)
        self.worker = Worker(
            self.receiver,
            harness.consumer(),
            concurrency=concurrency,
            stop_grace_sec=grace_sec,
            switch=self.switch,
            health=self.health,
            alerts=harness.alerts,
            clock=harness.clock,
            metrics=harness.metrics,
            log=structlog.wrap_logger(harness.log),
        )
        self.task = asyncio.create_task(self.worker.run())

    async def stop(self) -> None:
        self.worker.stop()
        await asyncio.wait_for(self.task, 5)


async def test_ready_only_once_the_link_is_open_and_no_longer_when_stopping(harness: Harness) -> None:
    running = Running(harness)
    assert "bus" in running.health.faults
    await until(lambda: running.receiver.opened == 1)
    await until(lambda: not running.health.faults)
    await running.stop()
    assert "stopping" in running.health.faults
    assert running.receiver.closed


async def test_no_more_messages_are_taken_than_there_are_hands(harness: Harness) -> None:
    await harness.open_run()
    release = asyncio.Event()
    busy = most = 0

    async def working(_message: Any) -> Outcome:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await release.wait()
        busy -= 1
        return Done()

    harness.handler = working
    running = Running(harness, concurrency=2)
    deliveries = [harness.delivery(events_extracted(part=part)) for part in range(5)]
    for delivery in deliveries:
        running.receiver.waiting.put_nowait(delivery)
    await until(lambda: busy == 2)
    assert running.receiver.waiting.qsize() == 3
    release.set()
    await until(lambda: all(delivery.settled for delivery in deliveries))
    await running.stop()
    assert most == 2


async def test_a_free_hand_asks_for_its_message_before_the_last_one_is_worked_on(harness: Harness) -> None:
    await harness.open_run()
    asked: list[int] = []

    async def working(_message: Any) -> Outcome:
        asked.append(running.receiver.asked)
        return Done()

    harness.handler, harness.admits = working, None
    running = Running(harness, concurrency=2)
    delivery = harness.delivery()
    running.receiver.waiting.put_nowait(delivery)
    await until(lambda: delivery.settled == ["complete"])
    await running.stop()
    assert asked == [2]


async def test_a_receive_call_that_succeeds_leaves_its_time_messages_or_none(harness: Harness) -> None:
    running = Running(harness)
    await until(lambda: harness.gauge("retl_last_receive_timestamp_seconds") == harness.clock.now().timestamp())
    await running.stop()


async def test_a_broken_link_is_opened_anew_and_the_work_goes_on(harness: Harness) -> None:
    await harness.open_run()
    running = Running(harness)
    delivery = harness.delivery()
    running.receiver.waiting.put_nowait(BusUnavailableError("reset by peer"))
    running.receiver.waiting.put_nowait(delivery)
    await until(lambda: delivery.settled == ["complete"])
    assert running.receiver.opened == 2
    await running.stop()


async def test_a_broker_that_is_away_at_the_start_is_waited_for(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.clock, "sleep", lambda _seconds: asyncio.sleep(0))
    running = Running(harness)
    running.receiver.open_errors = [BusUnavailableError("refused")] * 3
    await until(lambda: running.receiver.opened == 1)
    await until(lambda: not running.health.faults)
    await running.stop()


async def test_a_subscription_that_does_not_exist_ends_the_service(harness: Harness) -> None:
    running = Running(harness)
    running.receiver.open_errors = [EntityMissingError("no such subscription")]
    with pytest.raises(EntityMissingError):
        await running.task


async def test_work_in_hand_finishes_within_the_grace_period(harness: Harness) -> None:
    await harness.open_run()
    started, release = asyncio.Event(), asyncio.Event()

    async def working(_message: Any) -> Outcome:
        started.set()
        await release.wait()
        return Done()

    harness.handler = working
    running = Running(harness, grace_sec=5)
    delivery = harness.delivery()
    running.receiver.waiting.put_nowait(delivery)
    await started.wait()
    running.worker.stop()
    release.set()
    await asyncio.wait_for(running.task, 5)
    assert delivery.settled == ["complete"]


async def test_work_that_does_not_finish_in_time_is_handed_back_when_it_has_unwound(harness: Harness) -> None:
    await harness.open_run()
    started = asyncio.Event()

    async def working(_message: Any) -> Outcome:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await settle_down()
        return Done()

    harness.handler = working
    running = Running(harness, grace_sec=0.01)
    delivery = harness.delivery()
    running.receiver.waiting.put_nowait(delivery)
    await started.wait()
    await running.stop()
    assert delivery.settled == ["abandon"]


async def test_a_flood_of_failures_stops_the_consumer_and_says_so(harness: Harness) -> None:
    await harness.open_run()

    async def failing(_message: Any) -> Outcome:
        raise TransientError("the lake is away")

    harness.handler = failing
    running = Running(harness, concurrency=1)
    deliveries = [harness.delivery(events_extracted(part=part)) for part in range(8)]
    for delivery in deliveries:
        running.receiver.waiting.put_nowait(delivery)
    await until(lambda: "kill_switch" in running.health.faults)
    assert [bool(delivery.settled) for delivery in deliveries] == [True] * 4 + [False] * 4
    assert [code for _, _, code in harness.alerts.sent] == ["consumer_paused"]
    assert harness.gauge("retl_kill_switch_state") == SwitchState.STOPPED
    await running.stop()


async def test_after_a_pause_a_success_makes_the_consumer_ready_again(harness: Harness) -> None:
    await harness.open_run()
    running = Running(harness)
    for _ in range(4):
        running.switch.record(failed=True)
    running.health.not_ready("kill_switch", "paused")
    delivery = harness.delivery(lock_sec=600)
    running.receiver.waiting.put_nowait(delivery)
    await until(lambda: harness.clock.sleepers > 0)
    await harness.clock.advance(61)
    await until(lambda: delivery.settled == ["complete"])
    await until(lambda: not running.health.faults)
    await running.stop()


async def test_a_link_that_stays_silent_for_long_is_opened_anew(harness: Harness) -> None:
    running = Running(harness)
    await until(lambda: running.receiver.opened == 1)
    await harness.clock.advance(601)
    await until(lambda: running.receiver.opened == 2)
    await running.stop()


async def test_a_fault_of_the_kit_itself_leaves_the_message_for_a_redelivery(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(harness)

    async def broken(*_args: Any) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr("libs.common.worker.consumer.Consumer.consume", broken)
    delivery = harness.delivery()
    running.receiver.waiting.put_nowait(delivery)
    await until(lambda: "consumer_failed" in str(harness.log.calls))
    assert delivery.settled == []
    assert not running.task.done()
    await running.stop()

"""One message through the consumer: admitted or not, handled, settled, cut short."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.common.alerts import AlertKind
from libs.common.bus.errors import LockLostError
from libs.common.outcome import Done, Outcome
from libs.common.state import RunStatus, Stage
from libs.common.worker.actions import Action
from libs.common.worker.consumer import MAX_DELIVERIES
from libs.common.worker.locks import TICK_SEC, UNWIND_SEC
from tests.unit.worker.harness import FakeDelivery, Harness, events_extracted, week_requested


async def test_a_message_of_an_active_run_is_handled_and_completed(harness: Harness) -> None:
    await harness.open_run()
    delivery = harness.delivery()

    assert await harness.consume(delivery) is Action.DONE

    assert harness.handled == [events_extracted()]
    assert delivery.settled == ["complete"]


async def test_every_message_leaves_one_canonical_line_with_its_ids(harness: Harness) -> None:
    await harness.open_run()
    await harness.consume(harness.delivery(delivery_count=2))

    (line,) = harness.lines
    assert (
        line.items()
        >= {
            "action": "done",
            "run_id": "run-1",
            "correlation_id": "c-1",
            "message_id": "run-1/events.extracted/00000",
            "attempt": 0,
            "delivery_count": 2,
        }.items()
    )


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"type":"events.extracted.v99"}', b"[1]"])
async def test_what_cannot_be_read_is_dead_lettered_at_once_and_its_run_left_alone(
    harness: Harness, body: bytes
) -> None:
    await harness.open_run()
    delivery = FakeDelivery(body, clock=harness.clock, properties={"run_id": "run-1"})

    assert await harness.consume(delivery) is Action.DEAD_LETTERED

    assert delivery.dead is not None
    assert delivery.dead[0] == "undecodable_message"
    assert await harness.status() is RunStatus.STARTED
    assert [(kind, code) for kind, _, code in harness.alerts.sent] == [
        (AlertKind.MESSAGE_SET_ASIDE, "undecodable_message")
    ]


async def test_a_message_of_another_service_is_dead_lettered(harness: Harness) -> None:
    delivery = harness.delivery(week_requested())
    await harness.consume(delivery)
    assert delivery.dead is not None
    assert delivery.dead[0] == "unexpected_message"


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMED_OUT])
async def test_a_message_of_a_run_that_is_over_is_completed_without_effect(harness: Harness, status: RunStatus) -> None:
    await harness.open_run()
    await harness.state.end_run("run-1", status, harness.clock.now())
    delivery = harness.delivery()

    assert await harness.consume(delivery) is Action.DROPPED

    assert harness.handled == []
    assert delivery.settled == ["complete"]


async def test_a_message_of_a_run_that_nobody_knows_is_kept_for_a_person(harness: Harness) -> None:
    delivery = harness.delivery()
    await harness.consume(delivery)
    assert delivery.dead is not None
    assert delivery.dead[0] == "run_missing"


@pytest.mark.parametrize("run_id", ["r" * 129, "a \0 in it"])
async def test_a_message_of_a_run_that_no_table_can_hold_is_kept_for_a_person(harness: Harness, run_id: str) -> None:
    delivery = harness.delivery(events_extracted(run_id))
    assert await harness.consume(delivery) is Action.DEAD_LETTERED
    assert delivery.dead is not None
    assert delivery.dead[0] == "state_value_invalid"
    assert harness.alerts.sent == [(AlertKind.MESSAGE_SET_ASIDE, None, "state_value_invalid")]


@pytest.mark.parametrize("field", [{"run_id": "r" * 129}, {"requested_by": "s" * 257}])
async def test_a_request_that_no_table_can_hold_is_kept_for_a_person(harness: Harness, field: dict[str, str]) -> None:
    harness.admits, harness.consumes, harness.stage = None, type(week_requested()), Stage.EXTRACT
    harness.handler = lambda request: harness.state.open_run(request, harness.clock.now())
    delivery = harness.delivery(week_requested(**field))
    assert await harness.consume(delivery) is Action.DEAD_LETTERED
    assert delivery.dead is not None
    assert delivery.dead[0] == "state_value_invalid"
    assert harness.alerts.sent == [(AlertKind.MESSAGE_SET_ASIDE, None, "state_value_invalid")]
    assert harness.publisher.sent == []


async def test_a_service_may_admit_runs_that_have_succeeded(harness: Harness) -> None:
    await harness.open_run()
    await harness.state.end_run("run-1", RunStatus.SKIPPED, harness.clock.now())
    harness.admits = frozenset({RunStatus.SKIPPED})
    assert await harness.consume(harness.delivery()) is Action.DONE


async def test_a_settlement_that_fails_is_noted_and_harms_nobody(harness: Harness) -> None:
    await harness.open_run()
    delivery = harness.delivery()
    delivery.settle_error = LockLostError()
    assert await harness.consume(delivery) is Action.DONE
    assert "lock_lost" in harness.lines[0]["note"]


async def test_a_message_that_takes_the_process_down_each_time_fails_its_run(harness: Harness) -> None:
    await harness.open_run()
    delivery = harness.delivery(delivery_count=MAX_DELIVERIES)

    await harness.consume(delivery)

    assert harness.handled == []
    assert delivery.dead is not None
    assert delivery.dead[0] == "deliveries_exhausted"
    assert await harness.status() is RunStatus.FAILED


async def test_a_run_past_its_deadline_is_timed_out_by_its_next_message(harness: Harness) -> None:
    await harness.open_run()
    await harness.clock.advance(4 * 3600 + 1)
    delivery = harness.delivery()

    assert await harness.consume(delivery) is Action.TIMED_OUT

    assert delivery.settled == ["complete"]
    assert await harness.status() is RunStatus.TIMED_OUT
    assert harness.alerts.sent == [(AlertKind.RUN_TIMED_OUT, "run-1", "run_timed_out")]


async def test_a_handler_past_the_budget_of_its_stage_is_cancelled_and_the_run_timed_out(harness: Harness) -> None:
    await harness.open_run()
    started = asyncio.Event()
    ended = []

    async def endless(_message: Any) -> Outcome:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return Done()

    harness.handler = endless
    delivery = harness.delivery()
    keeping = asyncio.create_task(harness.locks.watch())
    consuming = asyncio.create_task(harness.consume(delivery))
    await started.wait()
    await harness.clock.advance(harness.budget_sec - 0.1)
    assert not consuming.done()
    await harness.clock.advance(TICK_SEC)

    assert await consuming is Action.TIMED_OUT

    keeping.cancel()
    assert ended == [True]
    assert delivery.dead is not None
    assert delivery.dead[0] == "stage_timed_out"
    assert await harness.status() is RunStatus.TIMED_OUT


async def test_a_handler_whose_lock_is_lost_stops_and_has_no_further_effect(harness: Harness) -> None:
    await harness.open_run()
    effects: list[str] = []
    started = asyncio.Event()

    async def working(_message: Any) -> Outcome:
        started.set()
        await harness.clock.sleep(1000)
        effects.append("committed")
        return Done()

    harness.handler = working
    delivery = harness.delivery(lock_sec=60)
    delivery.renewal_error = LockLostError()
    keeping = asyncio.create_task(harness.locks.watch())
    consuming = asyncio.create_task(harness.consume(delivery))
    await started.wait()
    await harness.clock.advance(TICK_SEC)
    await harness.clock.advance(31)

    assert await consuming is Action.LOCK_LOST
    keeping.cancel()
    assert effects == []
    assert delivery.settled == []
    assert harness.publisher.sent == []
    assert await harness.status() is RunStatus.STARTED


async def test_on_a_stop_the_handler_is_cancelled_and_the_message_handed_back(harness: Harness) -> None:
    await harness.open_run()
    started = harness.work_for_ever()
    delivery = harness.delivery()
    consuming = asyncio.create_task(harness.consume(delivery))
    await started.wait()
    harness.locks.hand_back()
    assert await consuming is Action.HANDED_BACK
    assert delivery.settled == ["abandon"]


async def test_a_message_that_comes_after_the_handlers_were_stopped_is_handed_back_unhandled(harness: Harness) -> None:
    await harness.open_run()
    harness.locks.hand_back()
    delivery = harness.delivery()
    assert await harness.consume(delivery) is Action.HANDED_BACK
    assert delivery.settled == ["abandon"]
    assert harness.handled == []


async def test_a_message_is_not_let_go_while_its_handler_ignores_that_it_was_cancelled(harness: Harness) -> None:
    await harness.open_run()
    started = asyncio.Event()
    cancellations: list[float] = []

    async def stubborn(_message: Any) -> Outcome:
        started.set()
        while len(cancellations) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancellations.append(harness.clock.monotonic())
        return Done()

    harness.handler = stubborn
    delivery = harness.delivery(lock_sec=600)
    keeping = asyncio.create_task(harness.locks.watch())
    consuming = asyncio.create_task(harness.consume(delivery))
    await started.wait()
    harness.locks.hand_back()
    await harness.clock.advance(UNWIND_SEC - 1)
    assert len(cancellations) == 1
    await harness.clock.advance(1)
    assert len(cancellations) == 2
    assert not delivery.settled
    await harness.clock.advance(UNWIND_SEC)

    assert await consuming is Action.HANDED_BACK

    keeping.cancel()
    assert delivery.settled == ["abandon"]
    assert str(harness.log.calls).count("handler_ignores_cancellation") == 2
    assert consuming.cancelling() == 0


async def test_a_handler_that_was_cancelled_from_within_is_tried_again(harness: Harness) -> None:
    await harness.open_run()

    async def cancelled(_message: Any) -> Outcome:
        raise asyncio.CancelledError

    harness.handler = cancelled
    assert await harness.consume(harness.delivery()) is Action.RETRIED


async def test_a_process_that_is_forced_to_end_settles_nothing(harness: Harness) -> None:
    await harness.open_run()
    started = harness.work_for_ever()
    delivery = harness.delivery()
    consuming = asyncio.create_task(harness.consume(delivery))
    await started.wait()
    consuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consuming
    assert delivery.settled == []
    assert harness.publisher.sent == []


async def test_a_process_that_is_forced_to_end_does_not_wait_for_a_handler_that_unwinds(harness: Harness) -> None:
    await harness.open_run()
    started, unwinding = asyncio.Event(), asyncio.Event()

    async def slow_to_unwind(_message: Any) -> Outcome:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            unwinding.set()
            await asyncio.Event().wait()
        return Done()

    harness.handler = slow_to_unwind
    delivery = harness.delivery()
    consuming = asyncio.create_task(harness.consume(delivery))
    await started.wait()
    harness.locks.hand_back()
    await unwinding.wait()
    consuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consuming
    assert delivery.settled == []


async def test_a_redelivery_of_a_finished_message_has_no_second_effect(harness: Harness) -> None:
    await harness.open_run()

    async def record(_message: Any) -> Outcome:
        await harness.state.record_part("run-1", Stage.VALIDATE, 0, harness.clock.now(), row_count=1)
        return Done()

    harness.handler = record
    for count in range(2):
        assert await harness.consume(harness.delivery(delivery_count=count)) is Action.DONE
    totals = await harness.state.part_totals("run-1", Stage.VALIDATE)
    assert totals.parts == 1

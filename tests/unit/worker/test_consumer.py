from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from libs.common.alerts import AlertKind
from libs.common.bus.errors import BusUnavailableError, LockLostError
from libs.common.errors import TerminalError, TransientError
from libs.common.outcome import DeadLetter, Done, Outcome, Retry
from libs.common.state import RunStatus, Stage, StageStatus, StateUnavailableError, WeekBusyError
from libs.common.week import Week
from libs.common.worker.actions import Action
from libs.common.worker.consumer import MAX_DELIVERIES
from tests.unit.worker.harness import FakeDelivery, Harness, events_extracted, settle_down, week_requested


class OutOfReach:
    """State tables that do not answer from now on, or only to reads."""

    def __init__(self, state: Any, *, reads: bool) -> None:
        self._state = state
        self._reads = reads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name) if self._reads and name == "get_run" else self._fail

    async def _fail(self, *_args: Any, **_kwargs: Any) -> None:
        raise StateUnavailableError


def failing(error: BaseException) -> Any:
    async def handler(_message: Any) -> Outcome:
        raise error

    return handler


def ending(outcome: Outcome) -> Any:
    async def handler(_message: Any) -> Outcome:
        return outcome

    return handler


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


@pytest.mark.parametrize("error", [TransientError("gone"), KeyError("nobody classified it")])
async def test_a_transient_or_unclassified_error_is_tried_again_later(harness: Harness, error: Exception) -> None:
    await harness.open_run()
    harness.handler = failing(error)
    delivery = harness.delivery()

    assert await harness.consume(delivery) is Action.RETRIED

    ((copy, not_before),) = harness.publisher.sent
    assert not_before == harness.clock.now() + timedelta(seconds=300)
    assert copy.message_id == "run-1/events.extracted/00000#1"
    assert copy.body.encode() == delivery.body
    assert copy.properties.items() >= {"target": "validator", "attempt": "1", "run_id": "run-1"}.items()
    assert copy.properties["first_seen"] == harness.clock.now().isoformat()
    assert "gone" in copy.properties["last_error"] or "nobody" in copy.properties["last_error"]
    assert delivery.settled == ["complete"]
    assert await harness.status() is RunStatus.STARTED


async def test_the_copy_is_scheduled_before_the_original_is_settled(harness: Harness) -> None:
    await harness.open_run()
    harness.handler = ending(Retry("not yet"))
    delivery = harness.delivery()
    settled_at_send: list[list[str]] = []
    harness.publisher.before_send = lambda: settled_at_send.append(list(delivery.settled))

    await harness.consume(delivery)

    assert settled_at_send == [[]]


async def test_each_retry_waits_longer_and_the_count_travels_with_the_copy(harness: Harness) -> None:
    await harness.open_run()
    harness.handler = ending(Retry("not yet"))
    delivery = harness.delivery()
    waits = []
    for _ in range(3):
        await harness.consume(delivery)
        copy, not_before = harness.publisher.sent[-1]
        waits.append((not_before - harness.clock.now()).total_seconds() if not_before else None)
        delivery = FakeDelivery(
            copy.body.encode(), clock=harness.clock, message_id=copy.message_id, properties=copy.properties
        )

    assert waits == [300.0, 600.0, 1200.0]
    assert [copy.message_id[-2:] for copy, _ in harness.publisher.sent] == ["#1", "#2", "#3"]


async def test_a_handler_may_ask_for_its_own_delay(harness: Harness) -> None:
    await harness.open_run()
    harness.handler = ending(Retry("polling", after_sec=7))
    await harness.consume(harness.delivery())
    assert harness.publisher.sent[0][1] == harness.clock.now() + timedelta(seconds=7)


async def test_when_the_retries_are_spent_run_and_stage_fail_with_one_alert(harness: Harness) -> None:
    await harness.open_run()
    await harness.state.start_stage("run-1", Stage.VALIDATE, harness.clock.now())
    harness.handler = failing(TransientError("the lake is away"))
    delivery = harness.delivery(properties={"attempt": "3"})

    assert await harness.consume(delivery) is Action.DEAD_LETTERED

    assert delivery.dead is not None
    assert delivery.dead[0] == "transient_error"
    assert "the lake is away" in delivery.dead[1]
    assert harness.publisher.sent == []
    run = await harness.state.get_run("run-1")
    assert (run.status, run.error.code) == (RunStatus.FAILED, "transient_error")
    stage = await harness.state.get_stage("run-1", Stage.VALIDATE)
    assert stage.status is StageStatus.FAILED
    assert harness.alerts.sent == [(AlertKind.RUN_FAILED, "run-1", "transient_error")]


async def test_a_terminal_error_fails_the_run_without_a_retry(harness: Harness) -> None:
    await harness.open_run()
    harness.handler = failing(TerminalError("no such container", next_step="Create it."))
    delivery = harness.delivery()

    await harness.consume(delivery)

    assert delivery.dead == ("terminal_error", "no such container Next: Create it.")
    assert await harness.status() is RunStatus.FAILED


async def test_an_outcome_of_dead_letter_fails_the_run_with_its_code(harness: Harness) -> None:
    await harness.open_run()
    harness.handler = ending(DeadLetter("bad_shape", "no list of events", "Fix the API."))
    delivery = harness.delivery()
    await harness.consume(delivery)
    assert delivery.dead == ("bad_shape", "no list of events Next: Fix the API.")


async def test_two_failing_parts_of_a_run_raise_one_alert(harness: Harness) -> None:
    await harness.open_run()
    harness.handler = failing(TerminalError("broken"))
    first, second = harness.delivery(), harness.delivery(events_extracted(part=1))

    await asyncio.gather(harness.consume(first), harness.consume(second))

    assert len(harness.alerts.sent) == 1


async def test_a_failure_after_the_run_was_cancelled_under_us_is_dropped(harness: Harness) -> None:
    await harness.open_run()

    async def cancelled_meanwhile(_message: Any) -> Outcome:
        await harness.state.end_run("run-1", RunStatus.CANCELLED, harness.clock.now())
        raise TerminalError("the files are gone")

    harness.handler = cancelled_meanwhile
    delivery = harness.delivery()
    assert await harness.consume(delivery) is Action.DROPPED
    assert delivery.settled == ["complete"]
    assert harness.alerts.sent == []


async def test_a_refused_request_is_recorded_alerted_and_kept(harness: Harness) -> None:
    harness.admits, harness.consumes, harness.stage = None, type(week_requested()), Stage.EXTRACT
    request = week_requested()
    harness.handler = failing(WeekBusyError(Week.of(request.week_start), "run-0"))
    delivery = harness.delivery(request)

    await harness.consume(delivery)

    run = await harness.state.get_run("run-1")
    assert (run.status, run.error.code) == (RunStatus.FAILED, "week_busy")
    assert harness.alerts.sent == [(AlertKind.RUN_FAILED, "run-1", "week_busy")]
    assert delivery.settled == ["dead_letter"]


async def test_an_end_that_cannot_be_recorded_is_put_off_and_spends_no_attempt(harness: Harness) -> None:
    await harness.open_run()
    harness.state = OutOfReach(harness.state, reads=True)
    harness.handler = failing(TerminalError("broken"))
    delivery = harness.delivery(properties={"attempt": "3", "run_id": "run-1"})

    assert await harness.consume(delivery) is Action.DEFERRED

    ((copy, _),) = harness.publisher.sent
    assert copy.properties["attempt"] == "3"
    assert copy.message_id.endswith("#3.1")
    assert delivery.settled == ["complete"]
    assert harness.alerts.sent == []


async def test_while_the_state_tables_are_away_messages_are_put_off_unhandled(harness: Harness) -> None:
    harness.state = OutOfReach(harness.state, reads=False)
    delivery = harness.delivery()
    assert await harness.consume(delivery) is Action.DEFERRED
    assert harness.handled == []
    assert harness.publisher.sent[0][0].properties["attempt"] == "0"


async def test_where_the_copy_cannot_be_sent_the_original_stays_locked_and_comes_again(harness: Harness) -> None:
    await harness.open_run()
    harness.handler = failing(TransientError("gone"))
    harness.publisher.error = BusUnavailableError("no connection")
    delivery = harness.delivery()

    assert await harness.consume(delivery) is Action.LEFT

    assert delivery.settled == []


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
    harness.budget_sec = 0.05
    ended = []

    async def endless(_message: Any) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return Done()

    harness.handler = endless
    delivery = harness.delivery()

    assert await harness.consume(delivery) is Action.TIMED_OUT

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
    await settle_down()

    await harness.clock.advance(31)

    assert await consuming is Action.LOCK_LOST
    keeping.cancel()
    assert effects == []
    assert delivery.settled == []
    assert harness.publisher.sent == []
    assert await harness.status() is RunStatus.STARTED


async def test_on_a_stop_the_handler_is_cancelled_and_the_message_handed_back(harness: Harness) -> None:
    await harness.open_run()
    started = asyncio.Event()

    async def working(_message: Any) -> Outcome:
        started.set()
        await asyncio.Event().wait()
        return Done()

    harness.handler = working
    delivery = harness.delivery()
    consuming = asyncio.create_task(harness.consume(delivery))
    await started.wait()
    harness.hand_back.set_result(None)
    assert await consuming is Action.HANDED_BACK
    assert delivery.settled == ["abandon"]


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

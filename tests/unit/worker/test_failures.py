"""What becomes of a message whose handler fails: tried again, given up with its run, put off."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from libs.common.alerts import AlertKind
from libs.common.bus.errors import BusUnavailableError
from libs.common.errors import TerminalError, TransientError
from libs.common.outcome import DeadLetter, Outcome, Retry
from libs.common.state import RunStatus, Stage, StageStatus, StateUnavailableError, WeekBusyError
from libs.common.week import Week
from libs.common.worker.actions import Action
from tests.unit.worker.harness import FakeDelivery, Harness, events_extracted, week_requested


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

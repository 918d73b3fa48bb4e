from __future__ import annotations

import asyncio

import structlog

from libs.common.alerts import AlertKind
from libs.common.state import Failure, RunStatus, Stage
from libs.common.worker.deadlines import EVERY_SEC, UNTOLD_SEC, Deadlines
from tests.unit.worker.harness import Harness, settle_down, until


def deadlines(harness: Harness) -> Deadlines:
    return Deadlines(
        harness.state, harness.alerts, harness.clock, structlog.wrap_logger(harness.log), run_budget_sec=100
    )


async def test_a_run_past_its_deadline_is_ended_without_any_message_and_alerted_once(harness: Harness) -> None:
    await harness.open_run()
    await harness.clock.advance(101)
    both = await asyncio.gather(deadlines(harness).check(), deadlines(harness).check())
    assert sorted(both) == [0, 1]
    assert await harness.status() is RunStatus.TIMED_OUT
    assert harness.alerts.sent == [(AlertKind.RUN_TIMED_OUT, "run-1", "run_timed_out")]


async def test_a_run_within_its_deadline_is_left_alone(harness: Harness) -> None:
    await harness.open_run()
    await harness.clock.advance(99)
    assert await deadlines(harness).check() == 0
    assert await harness.status() is RunStatus.STARTED


async def test_an_end_that_its_author_did_not_live_to_tell_is_told_once_by_another(harness: Harness) -> None:
    await harness.open_run()
    failure = Failure("broken", "It broke.", "Mend it.")
    await harness.state.end_run("run-1", RunStatus.FAILED, harness.clock.now(), failure, Stage.LOAD)

    assert await deadlines(harness).check() == 0
    assert harness.alerts.sent == []  # its author may be about to

    await harness.clock.advance(UNTOLD_SEC)
    await asyncio.gather(*(deadlines(harness).check() for _ in range(5)))
    assert harness.alerts.sent == [(AlertKind.RUN_FAILED, "run-1", "broken")]


async def test_an_end_that_was_told_is_not_told_again(harness: Harness) -> None:
    await harness.open_run()
    await harness.clock.advance(101)
    await deadlines(harness).check()
    harness.alerts.sent.clear()

    await harness.clock.advance(UNTOLD_SEC)
    await deadlines(harness).check()
    assert harness.alerts.sent == []


async def test_a_look_that_fails_is_not_the_last_one(harness: Harness) -> None:
    await harness.state.aclose()
    watching = asyncio.create_task(deadlines(harness).watch())
    for _ in range(2):
        await settle_down()
        await harness.clock.advance(EVERY_SEC)
    await until(lambda: bool(harness.log.calls) and harness.clock.sleepers > 0)
    assert not watching.done()
    watching.cancel()

from __future__ import annotations

import asyncio

import structlog

from libs.common.alerts import AlertKind
from libs.common.state import RunStatus
from libs.common.worker.deadlines import EVERY_SEC, Deadlines
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


async def test_a_look_that_fails_is_not_the_last_one(harness: Harness) -> None:
    await harness.state.aclose()
    watching = asyncio.create_task(deadlines(harness).watch())
    for _ in range(2):
        await settle_down()
        await harness.clock.advance(EVERY_SEC)
    await until(lambda: bool(harness.log.calls) and harness.clock.sleepers > 0)
    assert not watching.done()
    watching.cancel()

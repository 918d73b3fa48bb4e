"""Passing the gate and moving the checkpoint, on every database."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from libs.common.messages import WeekRequested
from libs.common.state import (
    GateCommit,
    RunEndedError,
    RunMissingError,
    RunStatus,
    Stage,
    StageStatus,
    State,
    WeekDoneError,
)
from libs.common.week import Week

Build = Callable[..., WeekRequested]
WEEK = Week(date(2024, 1, 1), date(2024, 1, 7))


async def _pass(
    state: State, run_id: str, now: datetime, outgoing: str | None = '{"topic": "gate.passed"}'
) -> GateCommit:
    return await state.complete_gate(
        run_id,
        now,
        status=RunStatus.SUCCESS_WITH_REJECTS,
        rows_fetched=1000,
        rows_output=990,
        rows_rejected=10,
        reject_rate_pct=Decimal("1.0"),
        output_path="curated/events/week_start=2024-01-01/week_end=2024-01-07",
        stage_details={"checks": [{"name": "min_records", "passed": True}]},
        outgoing=outgoing,
    )


async def test_passing_the_gate_commits_run_stage_and_checkpoint(
    state: State, other: State, request_week: Build, now: datetime
) -> None:
    request, later = request_week(), now + timedelta(minutes=9)
    await state.open_run(request, now)
    await state.start_stage(request.run_id, Stage.QUALITY_GATE, now)

    commit = await _pass(state, request.run_id, later)

    assert (commit.run.status, commit.run.finished_at) == (RunStatus.SUCCESS_WITH_REJECTS, later)
    assert (commit.run.rows_fetched, commit.run.rows_output, commit.run.rows_rejected) == (1000, 990, 10)
    assert commit.run.reject_rate_pct == Decimal("1.0000")
    assert commit.run.output_path == "curated/events/week_start=2024-01-01/week_end=2024-01-07"
    assert (commit.stage.status, commit.stage.started_at, commit.stage.finished_at) == (StageStatus.SUCCESS, now, later)
    assert (commit.stage.outgoing, commit.stage.published) == ('{"topic": "gate.passed"}', False)
    assert commit.stage.details == {"checks": [{"name": "min_records", "passed": True}]}
    assert commit.checkpoint_moved
    assert commit.superseded is None
    assert commit.checkpoint is not None
    assert (commit.checkpoint.last_week, commit.checkpoint.next_week) == (WEEK, WEEK.next())
    assert commit.checkpoint.updated_at == later
    assert await other.get_run(request.run_id) == commit.run
    assert await other.get_stage(request.run_id, Stage.QUALITY_GATE) == commit.stage
    assert await other.checkpoint(request.pipeline_name) == commit.checkpoint


async def test_passing_the_gate_twice_returns_the_first_commit(
    state: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    await state.open_run(request, now)
    first = await _pass(state, request.run_id, now)

    assert await _pass(state, request.run_id, now + timedelta(hours=1), outgoing="{}") == first


async def test_a_run_that_ended_does_not_pass_the_gate(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    await state.open_run(request, now)
    await state.end_run(request.run_id, RunStatus.CANCELLED, now)

    with pytest.raises(RunEndedError, match="CANCELLED"):
        await _pass(state, request.run_id, now)

    assert await state.checkpoint(request.pipeline_name) is None
    assert await state.get_stage(request.run_id, Stage.QUALITY_GATE) is None


async def test_an_unknown_run_does_not_pass_the_gate(state: State, now: datetime) -> None:
    with pytest.raises(RunMissingError):
        await _pass(state, f"run-{secrets.token_hex(6)}", now)


async def test_failing_is_not_passing(state: State, now: datetime) -> None:
    with pytest.raises(ValueError, match="FAILED"):
        await state.complete_gate(
            "run", now, status=RunStatus.FAILED, rows_output=0, rows_rejected=0, reject_rate_pct=Decimal(0)
        )


async def test_a_forced_run_supersedes_the_earlier_success(state: State, request_week: Build, now: datetime) -> None:
    first, forced = request_week(), request_week(force=True)
    await state.open_run(first, now)
    before = await _pass(state, first.run_id, now)
    await state.open_run(forced, now)

    commit = await _pass(state, forced.run_id, now + timedelta(hours=1))

    old = await state.get_run(first.run_id)
    current = await state.successful_run(first.pipeline_name, WEEK)
    assert old is not None
    assert current is not None
    assert (old.status, old.superseded_by) == (RunStatus.SUPERSEDED, forced.run_id)
    assert (current.run_id, commit.superseded) == (forced.run_id, first.run_id)
    assert not commit.checkpoint_moved
    assert commit.checkpoint == before.checkpoint
    assert await _pass(state, forced.run_id, now) == commit
    assert (await _pass(state, first.run_id, now)).run == old


async def test_an_unforced_run_does_not_replace_a_success(state: State, request_week: Build, now: datetime) -> None:
    first, second = request_week(), request_week()
    await state.open_run(first, now)
    await _pass(state, first.run_id, now)
    await state.open_run(second, now)

    with pytest.raises(WeekDoneError) as done:
        await _pass(state, second.run_id, now)

    assert done.value.successful_run_id == first.run_id
    run = await state.get_run(second.run_id)
    assert run is not None
    assert (run.status, run.rows_output) == (RunStatus.STARTED, None)


async def test_a_dry_run_passes_without_an_effect(state: State, request_week: Build, now: datetime) -> None:
    real, dry = request_week(), request_week(dry_run=True)
    await state.open_run(real, now)
    before = await _pass(state, real.run_id, now)
    await state.open_run(dry, now)

    commit = await _pass(state, dry.run_id, now, outgoing=None)

    assert commit.run.status is RunStatus.SUCCESS_WITH_REJECTS
    assert not commit.checkpoint_moved
    assert commit.superseded is None
    assert commit.checkpoint == before.checkpoint
    current = await state.successful_run(real.pipeline_name, WEEK)
    assert current is not None
    assert current.run_id == real.run_id


async def test_the_checkpoint_follows_the_expected_week_only(state: State, request_week: Build, now: datetime) -> None:
    moved = []
    for start in (date(2024, 1, 1), date(2023, 12, 25), date(2024, 1, 15), date(2024, 1, 8)):
        request = request_week(start=start)
        await state.open_run(request, now)
        moved.append((await _pass(state, request.run_id, now)).checkpoint_moved)

    checkpoint = await state.checkpoint(request.pipeline_name)
    assert moved == [True, False, False, True]
    assert checkpoint is not None
    assert checkpoint.last_week == WEEK.next()


async def test_the_checkpoint_is_created_by_the_first_week_and_advances_in_order(
    state: State, pipeline: str, now: datetime
) -> None:
    assert await state.checkpoint(pipeline) is None

    assert await state.advance_checkpoint(pipeline, WEEK, now)
    assert not await state.advance_checkpoint(pipeline, WEEK, now)
    assert not await state.advance_checkpoint(pipeline, WEEK.next().next(), now)
    assert not await state.advance_checkpoint(pipeline, Week(date(2024, 1, 8), date(2024, 1, 9)), now)
    assert await state.advance_checkpoint(pipeline, WEEK.next(), now + timedelta(days=7))

    checkpoint = await state.checkpoint(pipeline)
    assert checkpoint is not None
    assert checkpoint.next_week == Week(date(2024, 1, 15), date(2024, 1, 21))
    assert checkpoint.updated_at == now + timedelta(days=7)
    assert not checkpoint.is_stale(now + timedelta(days=21), 14)
    assert checkpoint.is_stale(now + timedelta(days=21, microseconds=1), 14)

"""Runs: every operation, on every database."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from libs.common.messages import RunOptions, WeekRequested
from libs.common.state import (
    Failure,
    Run,
    RunMissingError,
    RunStatus,
    Stage,
    StageStatus,
    State,
    StateConflictError,
    WeekBusyError,
)
from libs.common.week import Week

Build = Callable[..., WeekRequested]
FAILURE = Failure("source_gone", "The API answers 410.", "Ask its owner.")
WEEK = Week(date(2024, 1, 1), date(2024, 1, 7))


async def _succeed(state: State, run_id: str, now: datetime) -> None:
    await state.complete_gate(
        run_id, now, status=RunStatus.SUCCESS, rows_output=1, rows_rejected=0, reject_rate_pct=Decimal(0)
    )


async def test_an_opened_run_says_what_was_requested(state: State, request_week: Build, now: datetime) -> None:
    request = request_week(dry_run=True, full_sync=True)

    run = await state.open_run(request, now)

    assert run.status is RunStatus.STARTED
    assert run.status.is_active
    assert (run.run_id, run.pipeline_name, run.week) == (request.run_id, request.pipeline_name, WEEK)
    assert run.options == RunOptions(dry_run=True, full_sync=True)
    assert (run.requested_by, run.requested_at, run.correlation_id) == ("somebody", now, "correlation")
    assert (run.started_at, run.active_since, run.finished_at) == (now, now, None)
    assert await state.get_run(request.run_id) == run


async def test_opening_a_run_again_returns_it_as_it_stands(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    first = await state.open_run(request, now)

    assert await state.open_run(request, now + timedelta(hours=1)) == first

    await state.end_run(request.run_id, RunStatus.CANCELLED, now)
    assert (await state.open_run(request, now)).status is RunStatus.CANCELLED


async def test_ids_that_differ_in_case_are_two_runs_or_a_conflict_but_never_taken_for_each_other(
    state: State, request_week: Build, now: datetime
) -> None:
    name = secrets.token_hex(6)
    lower, upper = request_week(f"{name}-a"), request_week(f"{name}-A", start=date(2024, 1, 8))

    ends = [(await asyncio.gather(state.open_run(r, now), return_exceptions=True))[0] for r in (lower, upper)]

    opened = [(end.run_id, end.week) for end in ends if isinstance(end, Run)]
    assert opened == [(r.run_id, r.week) for r in (lower, upper)][: len(opened)]
    assert all(isinstance(end, Run | StateConflictError) for end in ends)


async def test_a_week_has_one_active_run(state: State, request_week: Build, now: datetime) -> None:
    first, second = request_week(), request_week(force=True)
    await state.open_run(first, now)

    with pytest.raises(WeekBusyError) as busy:
        await state.open_run(second, now)

    assert busy.value.active_run_id == first.run_id
    assert first.run_id in busy.value.next_step
    assert await state.get_run(second.run_id) is None


async def test_other_weeks_and_pipelines_run_beside_it(state: State, request_week: Build, now: datetime) -> None:
    first, second = request_week(), request_week(start=date(2024, 1, 8))
    await state.open_run(first, now)
    await state.open_run(second, now + timedelta(seconds=1))

    assert [run.run_id for run in await state.active_runs(first.pipeline_name)] == [second.run_id, first.run_id]


async def test_a_week_can_be_opened_again_once_its_run_has_ended(
    state: State, request_week: Build, now: datetime
) -> None:
    first, second = request_week(), request_week()
    await state.open_run(first, now)
    await state.end_run(first.run_id, RunStatus.FAILED, now, FAILURE)

    assert (await state.open_run(second, now)).status is RunStatus.STARTED


async def test_a_refused_run_is_recorded_as_failed_beside_the_active_one(
    state: State, request_week: Build, now: datetime
) -> None:
    active, refused = request_week(), request_week()
    await state.open_run(active, now)

    await state.refuse_run(refused, FAILURE, now)

    run = await state.get_run(refused.run_id)
    assert run is not None
    assert (run.status, run.error, run.finished_at) == (RunStatus.FAILED, FAILURE, now)


async def test_refusing_a_recorded_run_changes_nothing(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    run = await state.open_run(request, now)

    await state.refuse_run(request, FAILURE, now)

    assert await state.get_run(request.run_id) == run


async def test_an_unknown_run_is_none(state: State) -> None:
    assert await state.get_run(f"run-{secrets.token_hex(6)}") is None


async def test_runs_are_listed_newest_first_and_by_week(state: State, request_week: Build, now: datetime) -> None:
    requests = [request_week(start=date(2024, 1, 1) + timedelta(days=7 * week)) for week in range(3)]
    for age, request in enumerate(requests):
        await state.open_run(request, now + timedelta(minutes=age))
    pipeline = requests[0].pipeline_name

    assert [run.run_id for run in await state.runs(pipeline)] == [r.run_id for r in reversed(requests)]
    assert [run.run_id for run in await state.runs(pipeline, limit=1)] == [requests[2].run_id]
    assert [run.run_id for run in await state.runs(pipeline, requests[1].week)] == [requests[1].run_id]
    assert await state.runs(pipeline, Week(date(2024, 1, 1), date(2024, 1, 6))) == []


async def test_times_keep_their_microseconds_and_their_instant(
    state: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    elsewhere = now.astimezone(timezone(timedelta(hours=5, minutes=30)))

    run = await state.open_run(request, elsewhere)

    assert run.started_at == now
    assert run.started_at.utcoffset() == timedelta(0)
    assert run.started_at.microsecond == 123456


async def test_any_text_comes_back_as_it_went_in(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    await state.open_run(request, now)
    failure = Failure("odd_text", "Ünïcödé, «quotes» and 'quotes', \\ and % and 🦜.\nA second line.", "再試行")

    await state.end_run(request.run_id, RunStatus.FAILED, now, failure)

    run = await state.get_run(request.run_id)
    assert run is not None
    assert run.error == failure


async def test_counts_are_absolute_and_rates_exact(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    await state.open_run(request, now)

    await state.add_run_counts(request.run_id, rows_fetched=5_000_000_000)
    await state.add_run_counts(request.run_id, rows_fetched=5_000_000_001, reject_rate_pct=Decimal("12.34565"))

    run = await state.get_run(request.run_id)
    assert run is not None
    assert (run.rows_fetched, run.rows_output) == (5_000_000_001, None)
    assert run.reject_rate_pct == Decimal("12.3457")


async def test_only_known_counts_of_known_runs_are_recorded(state: State) -> None:
    with pytest.raises(ValueError, match="rows_lost"):
        await state.add_run_counts("run", rows_lost=1)
    with pytest.raises(RunMissingError):
        await state.add_run_counts(f"run-{secrets.token_hex(6)}", rows_fetched=1)


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED, RunStatus.SKIPPED])
async def test_a_run_is_ended_by_one_call_only(
    state: State, request_week: Build, now: datetime, status: RunStatus
) -> None:
    request = request_week()
    await state.open_run(request, now)

    assert await state.end_run(request.run_id, status, now + timedelta(hours=1), FAILURE)
    assert not await state.end_run(request.run_id, RunStatus.FAILED, now + timedelta(hours=2))

    run = await state.get_run(request.run_id)
    assert run is not None
    assert (run.status, run.error, run.finished_at) == (status, FAILURE, now + timedelta(hours=1))


async def test_an_unknown_run_is_not_ended(state: State, now: datetime) -> None:
    assert not await state.end_run(f"run-{secrets.token_hex(6)}", RunStatus.FAILED, now)


@pytest.mark.parametrize("status", [RunStatus.STARTED, RunStatus.SUCCESS, RunStatus.SUPERSEDED])
async def test_success_is_no_end_to_be_put_on_a_run(state: State, now: datetime, status: RunStatus) -> None:
    with pytest.raises(ValueError, match=status):
        await state.end_run("run", status, now)


async def test_the_stage_at_fault_fails_with_its_run_and_the_others_are_cancelled(
    state: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    await state.open_run(request, now)
    for stage in (Stage.EXTRACT, Stage.VALIDATE, Stage.LOAD):
        await state.start_stage(request.run_id, stage, now)
    await state.finish_stage(request.run_id, Stage.EXTRACT, StageStatus.SUCCESS, now, row_count=7)

    await state.end_run(request.run_id, RunStatus.FAILED, now, FAILURE, Stage.LOAD)

    rows = {row.stage: row for row in await state.stages(request.run_id)}
    assert {stage: row.status for stage, row in rows.items()} == {
        Stage.EXTRACT: StageStatus.SUCCESS,
        Stage.VALIDATE: StageStatus.CANCELLED,
        Stage.LOAD: StageStatus.FAILED,
    }
    assert rows[Stage.LOAD].failure == FAILURE
    assert rows[Stage.LOAD].finished_at == now


async def test_a_stage_at_fault_that_never_started_is_recorded_all_the_same(
    state: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    await state.open_run(request, now)

    await state.end_run(request.run_id, RunStatus.FAILED, now, FAILURE, Stage.EXTRACT)

    row = await state.get_stage(request.run_id, Stage.EXTRACT)
    assert row is not None
    assert (row.status, row.failure, row.attempts) == (StageStatus.FAILED, FAILURE, 0)


async def test_running_stages_end_like_a_run_that_names_none(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    await state.open_run(request, now)
    await state.start_stage(request.run_id, Stage.VALIDATE, now)

    await state.end_run(request.run_id, RunStatus.TIMED_OUT, now, FAILURE)

    row = await state.get_stage(request.run_id, Stage.VALIDATE)
    assert row is not None
    assert (row.status, row.failure) == (StageStatus.TIMED_OUT, FAILURE)


async def test_a_failing_synchronisation_leaves_the_run_its_success(
    state: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    await state.open_run(request, now)
    await _succeed(state, request.run_id, now)
    await state.start_stage(request.run_id, Stage.SALESFORCE_SYNC, now)

    assert await state.end_run(request.run_id, RunStatus.FAILED, now, FAILURE, Stage.SALESFORCE_SYNC)
    assert not await state.end_run(request.run_id, RunStatus.FAILED, now, FAILURE, Stage.SALESFORCE_SYNC)

    run = await state.get_run(request.run_id)
    sync = await state.get_stage(request.run_id, Stage.SALESFORCE_SYNC)
    assert run is not None
    assert sync is not None
    assert (run.status, run.error) == (RunStatus.SUCCESS, None)
    assert (sync.status, sync.failure) == (StageStatus.FAILED, FAILURE)


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.TIMED_OUT])
async def test_a_reopened_run_is_active_with_a_new_budget_and_its_stages_running(
    state: State, request_week: Build, now: datetime, status: RunStatus
) -> None:
    request, later = request_week(), now + timedelta(days=1)
    await state.open_run(request, now)
    await state.start_stage(request.run_id, Stage.VALIDATE, now)
    await state.start_stage(request.run_id, Stage.LOAD, now)
    await state.end_run(request.run_id, status, now, FAILURE, Stage.LOAD)

    assert await state.reopen_run(request.run_id, later)
    assert not await state.reopen_run(request.run_id, later)

    run = await state.get_run(request.run_id)
    assert run is not None
    assert (run.status, run.error, run.finished_at) == (RunStatus.STARTED, None, None)
    assert (run.started_at, run.active_since) == (now, later)
    stages = await state.stages(request.run_id)
    assert [(row.status, row.failure, row.finished_at) for row in stages] == [(StageStatus.RUNNING, None, None)] * 2


async def test_a_run_is_not_reopened_beside_an_active_one(state: State, request_week: Build, now: datetime) -> None:
    failed, active = request_week(), request_week()
    await state.open_run(failed, now)
    await state.end_run(failed.run_id, RunStatus.FAILED, now, FAILURE)
    await state.open_run(active, now)

    with pytest.raises(WeekBusyError, match=active.run_id):
        await state.reopen_run(failed.run_id, now)


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.SKIPPED])
async def test_what_was_cancelled_or_skipped_is_not_reopened(
    state: State, request_week: Build, now: datetime, status: RunStatus
) -> None:
    request = request_week()
    await state.open_run(request, now)
    await state.end_run(request.run_id, status, now)

    assert not await state.reopen_run(request.run_id, now)
    assert not await state.reopen_run(f"run-{secrets.token_hex(6)}", now)


async def test_reopening_a_success_restarts_its_failed_synchronisation_only(
    state: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    await state.open_run(request, now)
    await _succeed(state, request.run_id, now)
    assert not await state.reopen_run(request.run_id, now)
    await state.end_run(request.run_id, RunStatus.FAILED, now, FAILURE, Stage.SALESFORCE_SYNC)

    assert await state.reopen_run(request.run_id, now)

    run = await state.get_run(request.run_id)
    sync = await state.get_stage(request.run_id, Stage.SALESFORCE_SYNC)
    assert run is not None
    assert sync is not None
    assert (run.status, sync.status) == (RunStatus.SUCCESS, StageStatus.RUNNING)


async def test_a_run_is_due_once_its_budget_is_spent(state: State, request_week: Build, now: datetime) -> None:
    late, ended = request_week(), request_week(start=date(2024, 1, 8))
    await state.open_run(late, now)
    await state.open_run(ended, now)
    await state.end_run(ended.run_id, RunStatus.CANCELLED, now)

    async def due(after_sec: float) -> list[str]:
        runs = await state.due_runs(now + timedelta(seconds=after_sec), 3600)
        return [run.run_id for run in runs if run.pipeline_name == late.pipeline_name]

    assert await due(3599) == []
    assert await due(3600) == [late.run_id]


async def test_a_success_is_found_by_its_week_and_a_dry_run_is_none(
    state: State, request_week: Build, now: datetime
) -> None:
    dry, real = request_week(dry_run=True), request_week()
    await state.open_run(dry, now)
    await _succeed(state, dry.run_id, now)
    assert await state.successful_run(dry.pipeline_name, WEEK) is None
    await state.open_run(real, now)
    await _succeed(state, real.run_id, now)

    found = await state.successful_run(real.pipeline_name, WEEK)

    assert found is not None
    assert found.run_id == real.run_id

"""Stages, parts: every operation, on every database."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

import pytest

from libs.common.state import (
    Failure,
    PartTotals,
    RunMissingError,
    Stage,
    StageStatus,
    State,
    StateConflictError,
)

FAILURE = Failure("broken", "It broke.", "Mend it.")


@pytest.fixture
def run_id() -> str:
    return f"run-{secrets.token_hex(6)}"


async def test_each_start_counts_an_attempt_and_keeps_the_first_time(state: State, run_id: str, now: datetime) -> None:
    first = await state.start_stage(run_id, Stage.LOAD, now)
    second = await state.start_stage(run_id, Stage.LOAD, now + timedelta(minutes=5))

    assert (first.status, first.attempts, first.started_at) == (StageStatus.RUNNING, 1, now)
    assert (second.status, second.attempts, second.started_at) == (StageStatus.RUNNING, 2, now)
    assert await state.get_stage(run_id, Stage.LOAD) == second


async def test_a_failed_stage_starts_again_without_its_failure(state: State, run_id: str, now: datetime) -> None:
    await state.start_stage(run_id, Stage.LOAD, now)
    await state.finish_stage(run_id, Stage.LOAD, StageStatus.FAILED, now, row_count=None, failure=FAILURE)

    again = await state.start_stage(run_id, Stage.LOAD, now)

    assert (again.status, again.attempts) == (StageStatus.RUNNING, 2)
    assert (again.failure, again.finished_at) == (None, None)


async def test_a_finished_stage_does_not_start_again(state: State, run_id: str, now: datetime) -> None:
    await state.start_stage(run_id, Stage.LOAD, now)
    done = await state.finish_stage(run_id, Stage.LOAD, StageStatus.SUCCESS, now, row_count=3)

    assert await state.start_stage(run_id, Stage.LOAD, now) == done


async def test_the_first_to_finish_a_stage_wins(state: State, run_id: str, now: datetime) -> None:
    await state.start_stage(run_id, Stage.VALIDATE, now)
    first = await state.finish_stage(
        run_id,
        Stage.VALIDATE,
        StageStatus.SUCCESS,
        now,
        row_count=10,
        rejected_count=2,
        details={"codes": {"bad_time": 2}},
        outgoing='{"first": true}',
    )

    second = await state.finish_stage(
        run_id, Stage.VALIDATE, StageStatus.FAILED, now, row_count=0, failure=FAILURE, outgoing="{}"
    )

    assert second == first
    assert (first.status, first.row_count, first.rejected_count) == (StageStatus.SUCCESS, 10, 2)
    assert (first.details, first.outgoing, first.published) == ({"codes": {"bad_time": 2}}, '{"first": true}', False)
    assert first.finished_at == now


async def test_a_stage_that_never_started_cannot_be_finished(state: State, run_id: str, now: datetime) -> None:
    with pytest.raises(RunMissingError, match=run_id):
        await state.finish_stage(run_id, Stage.LOAD, StageStatus.SUCCESS, now, row_count=1)
    assert await state.get_stage(run_id, Stage.LOAD) is None


async def test_marking_a_stage_published_is_repeatable(state: State, run_id: str, now: datetime) -> None:
    await state.start_stage(run_id, Stage.LOAD, now)
    await state.finish_stage(run_id, Stage.LOAD, StageStatus.SUCCESS, now, row_count=1, outgoing="{}")

    await state.mark_stage_published(run_id, Stage.LOAD)
    once = await state.get_stage(run_id, Stage.LOAD)
    await state.mark_stage_published(run_id, Stage.LOAD)

    assert once is not None
    assert once.published
    assert await state.get_stage(run_id, Stage.LOAD) == once


async def test_stages_are_listed_in_the_pipelines_order(state: State, run_id: str, now: datetime) -> None:
    for stage in reversed(Stage):
        await state.start_stage(run_id, stage, now)

    assert [row.stage for row in await state.stages(run_id)] == list(Stage)


async def test_the_number_of_parts_is_recorded_once(state: State, run_id: str, now: datetime) -> None:
    with pytest.raises(RunMissingError):
        await state.set_parts_total(run_id, 3)
    await state.start_stage(run_id, Stage.EXTRACT, now)

    await state.set_parts_total(run_id, 3)
    await state.set_parts_total(run_id, 3)
    with pytest.raises(StateConflictError, match="3 parts, not 4"):
        await state.set_parts_total(run_id, 4)

    row = await state.get_stage(run_id, Stage.EXTRACT)
    assert row is not None
    assert row.parts_total == 3


async def test_the_first_record_of_a_part_stands(state: State, run_id: str, now: datetime) -> None:
    details = {"next_page": 12, "cursor": None, "files": ["a", "ü"]}
    first = await state.record_part(
        run_id, Stage.EXTRACT, 0, now, row_count=100, rejected_count=1, details=details, outgoing='{"part": 0}'
    )

    second = await state.record_part(run_id, Stage.EXTRACT, 0, now + timedelta(hours=1), row_count=5)

    assert second == first
    assert (first.part, first.row_count, first.rejected_count, first.recorded_at) == (0, 100, 1, now)
    assert (first.details, first.outgoing, first.published) == (details, '{"part": 0}', False)
    assert await state.get_part(run_id, Stage.EXTRACT, 0) == first
    assert await state.get_part(run_id, Stage.VALIDATE, 0) is None


async def test_a_message_of_many_kilobytes_comes_back_whole(state: State, run_id: str, now: datetime) -> None:
    body = '{"url": "' + "ä/🦜" * 20_000 + '"}'

    await state.record_part(run_id, Stage.EXTRACT, 0, now, row_count=1, outgoing=body, details={"long": body})

    row = await state.get_part(run_id, Stage.EXTRACT, 0)
    assert row is not None
    assert row.outgoing == body
    assert row.details == {"long": body}


async def test_a_part_is_updated_only_from_the_revision_that_was_read(
    state: State, other: State, run_id: str, now: datetime
) -> None:
    row = await state.record_part(run_id, Stage.SALESFORCE_SYNC, 0, now, row_count=1, details={"job": None})

    moved = await state.update_part(
        run_id, Stage.SALESFORCE_SYNC, 0, row.revision, details={"job": "750"}, rejected_count=4, outgoing="{}"
    )
    late = await other.update_part(run_id, Stage.SALESFORCE_SYNC, 0, row.revision, details={"job": "751"})

    assert late is None
    assert moved is not None
    assert moved.revision > row.revision
    assert (moved.details, moved.row_count, moved.rejected_count, moved.outgoing) == ({"job": "750"}, 1, 4, "{}")
    assert await other.get_part(run_id, Stage.SALESFORCE_SYNC, 0) == moved
    assert await state.update_part(run_id, Stage.SALESFORCE_SYNC, 9, 1, details={}) is None


async def test_marking_a_part_published_is_repeatable(state: State, run_id: str, now: datetime) -> None:
    await state.record_part(run_id, Stage.EXTRACT, 3, now, row_count=1, outgoing="{}")

    await state.mark_part_published(run_id, Stage.EXTRACT, 3)
    once = await state.get_part(run_id, Stage.EXTRACT, 3)
    await state.mark_part_published(run_id, Stage.EXTRACT, 3)

    assert once is not None
    assert once.published
    assert await state.get_part(run_id, Stage.EXTRACT, 3) == once


async def test_parts_are_listed_by_index_and_range(state: State, run_id: str, now: datetime) -> None:
    for part in (10, 2, 0, 1, 9):
        await state.record_part(run_id, Stage.VALIDATE, part, now, row_count=part)

    assert [row.part for row in await state.parts(run_id, Stage.VALIDATE)] == [0, 1, 2, 9, 10]
    assert [row.part for row in await state.parts(run_id, Stage.VALIDATE, 1, 9)] == [1, 2, 9]
    assert [row.part for row in await state.parts(run_id, Stage.VALIDATE, first=9)] == [9, 10]
    assert [row.part for row in await state.parts(run_id, Stage.VALIDATE, last=0)] == [0]


async def test_totals_are_exact_beyond_32_bits(state: State, run_id: str, now: datetime) -> None:
    assert await state.part_totals(run_id, Stage.LOAD) == PartTotals(0, 0, 0)
    for part in range(3):
        await state.record_part(run_id, Stage.LOAD, part, now, row_count=2_000_000_000, rejected_count=part)

    assert await state.part_totals(run_id, Stage.LOAD) == PartTotals(3, 6_000_000_000, 3)

"""What happens when several do the same thing at once, over connections and processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from libs.common.messages import WeekRequested
from libs.common.state import PartsTotalError, RunStatus, Stage, StageStatus, State, WeekBusyError

Build = Callable[..., WeekRequested]
PROCESSES = 10
WRITERS_EACH = 20
PARTS = 20


async def test_of_many_openings_of_a_week_one_succeeds(
    state: State, other: State, request_week: Build, now: datetime
) -> None:
    requests = [request_week() for _ in range(20)]

    ends = await asyncio.gather(
        *(store.open_run(r, now) for store, r in zip([state, other] * 10, requests, strict=True)),
        return_exceptions=True,
    )

    opened = [end for end in ends if not isinstance(end, BaseException)]
    refused = [end for end in ends if isinstance(end, WeekBusyError)]
    assert len(opened) == 1
    assert len(refused) == 19
    assert {busy.active_run_id for busy in refused} == {opened[0].run_id}
    assert [run.run_id for run in await state.runs(requests[0].pipeline_name)] == [opened[0].run_id]


async def test_many_deliveries_of_one_request_open_one_run(
    state: State, other: State, request_week: Build, now: datetime
) -> None:
    request = request_week()

    runs = await asyncio.gather(*(store.open_run(request, now) for store in [state, other] * 5))

    assert all(run == runs[0] for run in runs)


async def test_many_ends_of_a_run_are_one_change(
    state: State, other: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    await state.open_run(request, now)

    changed = await asyncio.gather(
        *(
            store.end_run(request.run_id, status, now, stage=Stage.LOAD)
            for store in (state, other)
            for status in (RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED)
        )
    )

    assert sorted(changed) == [False] * 5 + [True]


async def test_a_failed_synchronisation_is_one_change(
    state: State, other: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    await state.open_run(request, now)
    await _pass(state, request.run_id, now)

    changed = await asyncio.gather(
        *(
            store.end_run(request.run_id, RunStatus.FAILED, now, stage=Stage.SALESFORCE_SYNC)
            for store in [state, other] * 3
        )
    )

    assert sorted(changed) == [False] * 5 + [True]


async def test_a_run_is_reopened_once_and_never_beside_another(
    state: State, other: State, request_week: Build, now: datetime
) -> None:
    failed, fresh = request_week(), request_week()
    await state.open_run(failed, now)
    await state.end_run(failed.run_id, RunStatus.FAILED, now)

    ends = await asyncio.gather(
        *(store.reopen_run(failed.run_id, now) for store in [state, other] * 3),
        other.open_run(fresh, now),
        return_exceptions=True,
    )

    assert len(await state.active_runs(failed.pipeline_name)) == 1
    assert all(not isinstance(end, BaseException) or isinstance(end, WeekBusyError) for end in ends)
    assert sum(end is True for end in ends) <= 1


async def test_many_starts_of_a_stage_are_all_counted(state: State, other: State, pipeline: str, now: datetime) -> None:
    await asyncio.gather(*(store.start_stage(pipeline, Stage.VALIDATE, now) for store in [state, other] * 10))

    row = await state.get_stage(pipeline, Stage.VALIDATE)
    assert row is not None
    assert row.attempts == 20


async def test_everybody_who_finishes_a_stage_gets_the_same_message(
    state: State, other: State, pipeline: str, now: datetime
) -> None:
    await state.start_stage(pipeline, Stage.VALIDATE, now)

    rows = await asyncio.gather(
        *(
            store.finish_stage(pipeline, Stage.VALIDATE, StageStatus.SUCCESS, now, row_count=n, outgoing=f"message {n}")
            for n, store in enumerate([state, other] * 10)
        )
    )

    assert all(row == rows[0] for row in rows)
    assert rows[0].outgoing == f"message {rows[0].row_count}"


async def test_one_of_two_numbers_of_parts_is_recorded(
    state: State, other: State, pipeline: str, now: datetime
) -> None:
    await state.start_stage(pipeline, Stage.EXTRACT, now)

    ends = await asyncio.gather(
        state.set_parts_total(pipeline, 3), other.set_parts_total(pipeline, 4), return_exceptions=True
    )

    assert [type(end) for end in ends if end is not None] == [PartsTotalError]


async def test_everybody_who_records_a_part_gets_the_same_row(
    state: State, other: State, pipeline: str, now: datetime
) -> None:
    rows = await asyncio.gather(
        *(
            store.record_part(pipeline, Stage.LOAD, 7, now, row_count=n, outgoing=f"message {n}")
            for n, store in enumerate([state, other] * 10)
        )
    )

    assert all(row == rows[0] for row in rows)
    assert (await state.part_totals(pipeline, Stage.LOAD)).parts == 1


async def test_one_of_many_updates_of_a_revision_succeeds(
    state: State, other: State, pipeline: str, now: datetime
) -> None:
    row = await state.record_part(pipeline, Stage.SALESFORCE_SYNC, 0, now, row_count=0)

    updated = await asyncio.gather(
        *(
            store.update_part(pipeline, Stage.SALESFORCE_SYNC, 0, row.revision, details={"writer": n})
            for n, store in enumerate([state, other] * 10)
        )
    )

    winners = [found for found in updated if found is not None]
    assert winners == [await state.get_part(pipeline, Stage.SALESFORCE_SYNC, 0)]


async def test_many_gates_of_one_run_commit_once(
    state: State, other: State, request_week: Build, now: datetime
) -> None:
    earlier, forced = request_week(), request_week(force=True)
    await state.open_run(earlier, now)
    await _pass(state, earlier.run_id, now)
    await state.open_run(forced, now)

    commits = await asyncio.gather(*(_pass(store, forced.run_id, now, n) for n, store in enumerate([state, other] * 5)))

    assert all(commit == commits[0] for commit in commits)
    statuses = [run.status for run in await state.runs(forced.pipeline_name)]
    assert sorted(statuses) == [RunStatus.SUCCESS, RunStatus.SUPERSEDED]


async def test_a_run_either_passes_the_gate_or_is_ended(
    state: State, other: State, request_week: Build, now: datetime
) -> None:
    for week in range(5):
        request = request_week(start=date.fromordinal(date(2024, 1, 1).toordinal() + 7 * week))
        await state.open_run(request, now)

        ends: tuple[Any, ...] = await asyncio.gather(
            _pass(state, request.run_id, now),
            other.end_run(request.run_id, RunStatus.TIMED_OUT, now),
            return_exceptions=True,
        )

        run = await state.get_run(request.run_id)
        assert run is not None
        assert (run.status is RunStatus.SUCCESS) == (not isinstance(ends[0], BaseException))
        assert (run.status is RunStatus.TIMED_OUT) == (ends[1] is True)


async def test_gates_of_many_weeks_at_once_do_not_get_in_each_others_way(
    state: State, other: State, request_week: Build, now: datetime
) -> None:
    starts = [date.fromordinal(date(2024, 1, 1).toordinal() + 7 * week) for week in range(10)]
    requests = [request_week(start=start) for start in starts]
    await asyncio.gather(*(state.open_run(request, now) for request in requests))

    commits = await asyncio.gather(
        *(_pass(store, r.run_id, now) for store, r in zip([state, other] * 5, requests, strict=True))
    )

    assert all(commit.run.status is RunStatus.SUCCESS for commit in commits)
    moved = [commit.run.week for commit in commits if commit.checkpoint_moved]
    assert moved
    checkpoint = await state.checkpoint(requests[0].pipeline_name)
    assert checkpoint is not None
    assert checkpoint.last_week == max(moved)
    assert (max(moved).start - min(moved).start).days == 7 * (len(moved) - 1)


async def test_the_checkpoint_moves_once_for_a_week(
    state: State, other: State, request_week: Build, now: datetime
) -> None:
    request = request_week()

    first = await asyncio.gather(
        *(store.advance_checkpoint(request.pipeline_name, request.week, now) for store in [state, other] * 5)
    )
    second = await asyncio.gather(
        *(store.advance_checkpoint(request.pipeline_name, request.week.next(), now) for store in [state, other] * 5)
    )

    assert sorted(first) == sorted(second) == [False] * 9 + [True]


@pytest.mark.timeout(600)  # a connection alone may take a second on a server, and there are fifty
async def test_two_hundred_writers_in_ten_processes_lose_nothing(
    target: Any, state: State, request_week: Build, now: datetime
) -> None:
    request = request_week(start=date(2023, 12, 25))
    await state.open_run(request, now)
    arguments = [target.prefix, request.pipeline_name, request.run_id]

    seen = await asyncio.to_thread(_run_writers, target.url, arguments)

    assert len(seen) == PROCESSES * WRITERS_EACH
    opened = [end["opened"] for end in seen if end["opened"]]
    active = [run.run_id for run in await state.active_runs(request.pipeline_name)]
    assert sorted(active) == sorted([*opened, request.run_id])
    assert len(opened) == 1
    totals = await state.part_totals(request.run_id, Stage.VALIDATE)
    assert (totals.parts, totals.row_count) == (PARTS, 10 * PARTS)
    stage = await state.get_stage(request.run_id, Stage.VALIDATE)
    assert stage is not None
    assert {end["finished"] for end in seen if end["finished"]} == {stage.outgoing}
    assert stage.status is StageStatus.SUCCESS
    assert len([end for end in seen if end["moved"]]) == 1
    counter = await state.get_part(request.run_id, Stage.SALESFORCE_SYNC, 0)
    assert counter is not None
    assert counter.details == {"count": PROCESSES * WRITERS_EACH}


def _run_writers(url: str, arguments: list[str]) -> list[dict[str, str | None]]:
    command = [sys.executable, str(Path(__file__).parent / "writers.py"), *arguments]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, f"process-{n}", str(WRITERS_EACH), str(PARTS)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=os.environ | {"STATE_URL": url},
                )
            )
            for n in range(PROCESSES)
        ]
        for process in processes:
            stack.callback(process.kill)
        # Nobody begins before the last has connected.
        assert [_line(process) for process in processes] == ["ready\n"] * PROCESSES
        with ThreadPoolExecutor(PROCESSES) as pool:
            outputs = list(pool.map(lambda process: process.communicate("go\n", timeout=500)[0], processes))
    assert [process.returncode for process in processes] == [0] * PROCESSES
    return [end for output in outputs for end in json.loads(output)]


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


async def _pass(state: State, run_id: str, now: datetime, rows: int = 1) -> Any:
    return await state.complete_gate(
        run_id,
        now,
        status=RunStatus.SUCCESS,
        rows_output=rows,
        rows_rejected=0,
        reject_rate_pct=Decimal(0),
        outgoing=f"message {rows}",
    )

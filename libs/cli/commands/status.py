"""`retl status` and `retl runs`: what the state tables say."""

from __future__ import annotations

import asyncio
import sys
from datetime import date
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from libs.cli import options
from libs.cli.consoles import output
from libs.cli.reading import reading_state
from libs.common.clock import SystemClock
from libs.common.settings import CommonSettings, load_settings
from libs.common.state import Checkpoint, Failure, Run, StageRow
from libs.common.week import Week

RUNS_SHOWN = 20


def status(as_json: options.AsJson = False) -> None:
    """Show the checkpoint (and whether it is stale), the runs at work and the last one with its stages."""
    settings = load_settings(CommonSettings)
    checkpoint, runs, stages = asyncio.run(_read(settings, None, 5))
    stale = checkpoint is not None and checkpoint.is_stale(SystemClock().now(), settings.stale_checkpoint_days)
    if as_json:
        _print_json(
            {
                "checkpoint": None if checkpoint is None else {**_checkpoint(checkpoint), "stale": stale},
                "runs": [_run(run) for run in runs],
                "stages": [_stage(stage) for stage in stages],
            }
        )
        return
    console = output()
    if checkpoint is None:
        console.print("No week has succeeded yet.")
    else:
        mark = f" [yellow]stale: not moved for more than {settings.stale_checkpoint_days} days[/]" if stale else ""
        console.print(f"next week {checkpoint.next_week}, last successful {checkpoint.last_week}{mark}")
    console.print(_runs_table(runs))
    for stage in stages:
        rows = "" if stage.row_count is None else f"{stage.row_count:,} rows"
        console.print(f"  {stage.stage:<16}{stage.status:<10}{rows}")
    if runs and (failure := runs[0].error or next((stage.failure for stage in stages if stage.failure), None)):
        console.print(f"{failure.code}: {escape(failure.message)}\nNext: {escape(failure.next_step)}", soft_wrap=True)


def runs(
    week: Annotated[str | None, typer.Option("--week", help="Only runs of the week that starts on this day.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the newest runs."""
    settings = load_settings(CommonSettings)
    try:
        only = None if week is None else Week.of(date.fromisoformat(week))
    except ValueError as error:
        raise typer.BadParameter(f"not a date: {error}", param_hint="--week") from error
    _, found, _ = asyncio.run(_read(settings, only, RUNS_SHOWN))
    if as_json:
        _print_json([_run(run) for run in found])
    else:
        output().print(_runs_table(found))


async def _read(
    settings: CommonSettings, week: Week | None, limit: int
) -> tuple[Checkpoint | None, list[Run], list[StageRow]]:
    async with reading_state(settings) as state:
        found = await state.runs(settings.pipeline_name, week, limit=limit)
        stages = await state.stages(found[0].run_id) if found else []
        return await state.checkpoint(settings.pipeline_name), found, stages


def _runs_table(found: list[Run]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("run", "week", "status"):
        table.add_column(title, no_wrap=True)
    for title in ("fetched", "valid", "rejected"):
        table.add_column(title, justify="right")
    table.add_column("started")
    table.add_column("error", overflow="fold")
    for run in found:
        figures = (run.rows_fetched, run.rows_output, run.rows_rejected)
        table.add_row(
            run.run_id,
            str(run.week),
            run.status.value,
            *("" if figure is None else f"{figure:,}" for figure in figures),
            f"{run.started_at:%Y-%m-%d %H:%M:%S}",
            run.error.code if run.error else "",
        )
    return table


def _checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    last, following = checkpoint.last_week, checkpoint.next_week
    return {
        "pipeline_name": checkpoint.pipeline_name,
        "last_successful_week_start": last.start if last else None,
        "last_successful_week_end": last.end if last else None,
        "next_week_start": following.start if following else None,
        "next_week_end": following.end if following else None,
        "updated_at_utc": checkpoint.updated_at,
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "status": run.status.value,
        "week_start": run.week.start,
        "week_end": run.week.end,
        "requested_by": run.requested_by,
        "requested_at": run.requested_at,
        "rows_fetched": run.rows_fetched,
        "rows_valid": run.rows_output,
        "rows_rejected": run.rows_rejected,
        "reject_rate_pct": None if run.reject_rate_pct is None else float(run.reject_rate_pct),
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "error": None if run.error is None else _failure(run.error),
    }


def _stage(stage: StageRow) -> dict[str, Any]:
    return {
        "run_id": stage.run_id,
        "stage": stage.stage.value,
        "status": stage.status.value,
        "attempts": stage.attempts,
        "rows": stage.row_count,
        "rejected": stage.rejected_count,
        "started_at": stage.started_at,
        "finished_at": stage.finished_at,
        "error": None if stage.failure is None else _failure(stage.failure),
    }


def _failure(failure: Failure) -> dict[str, str]:
    return {"code": failure.code, "message": failure.message, "next_step": failure.next_step}


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")

"""`python -m services.sf_sync preview`: what a sync of a week's published rows would send, without sending it.

The same mapping check, canonical form and diff as the sync itself. Prints one JSON object; changes nothing anywhere.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import date
from pathlib import Path
from typing import Any, Final

from libs.common.errors import RetlError, TerminalError
from libs.common.lake import Lake, open_lake, paths
from libs.common.logging import configure_logging
from libs.common.service import FAILED, WRONG_USAGE, load_or_exit
from libs.common.state import Run, RunStatus, State, open_state
from libs.common.synclog import rank_of
from libs.common.week import Week, WeekError
from services.sf_sync import diff
from services.sf_sync.canonical import FAULT_CODE, FAULT_FIELD, KEY
from services.sf_sync.composition import open_session
from services.sf_sync.diff import Against
from services.sf_sync.duck import open_duck, parquet
from services.sf_sync.files import scratch_folder
from services.sf_sync.limits import estimate
from services.sf_sync.mapping import ResolvedMapping, load_mapping
from services.sf_sync.planning import (
    CREATES,
    UPDATES,
    check_target,
    list_snapshot,
    open_against,
    write_canonical,
)
from services.sf_sync.session import SalesforceSession
from services.sf_sync.settings import SfSyncSettings
from services.sf_sync.source import Source, open_source

_AFTER_ALL_ROUNDS: Final = 999
_RUNS_LOOKED_AT: Final = 100


class RunUnknownError(TerminalError):
    """There is no such run."""

    code = "run_unknown"
    next_step = "List the runs with `retl runs`."


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 printed, 1 failed (the reason on stderr), 2 wrong usage or settings."""
    arguments = _parser().parse_args(argv)
    settings = load_or_exit(SfSyncSettings)
    configure_logging(settings, service="sf_sync")
    try:
        found = asyncio.run(_of_arguments(settings, arguments))
    except RetlError as error:
        sys.stderr.write(f"{error.code}: {error}\nNext: {error.next_step}\n")
        return WRONG_USAGE if isinstance(error, WeekError) else FAILED
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.sf_sync preview", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--week", type=date.fromisoformat, help="Monday of the week (default: the newest successful)")
    which.add_argument("--run", help="a run, for weeks of other than seven days")
    parser.add_argument("--rows", type=int, default=5, help="samples of each kind (default 5)")
    parser.add_argument("--full", action="store_true", help="as a full sync: every row is sent")
    return parser


async def _of_arguments(settings: SfSyncSettings, arguments: argparse.Namespace) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        state = open_state(settings.state_url)
        stack.push_async_callback(state.aclose)
        lake = open_lake(settings.lake_url, connection_string=settings.datalake_connection_string)
        stack.push_async_callback(lake.aclose)
        session = open_session(settings)
        stack.callback(session.close)
        settings.scratch_dir.mkdir(parents=True, exist_ok=True)
        scratch = stack.enter_context(scratch_folder(settings.scratch_dir))
        run = await _find_run(state, settings.pipeline_name, run_id=arguments.run, start=arguments.week)
        signals = lake.local_copy(paths.signals_file(run.week.start, run.week.end), scratch)
        source = await stack.enter_async_context(open_source(settings, run.week, signals))
        return await preview(
            settings, lake, session, run, source, scratch=scratch, samples=arguments.rows, full=arguments.full
        )


async def _find_run(state: State, pipeline: str, *, run_id: str | None, start: date | None) -> Run:
    """Raises RunUnknownError, and WeekError where `start` is no Monday."""
    if run_id is not None:
        run = await state.get_run(run_id)
        missing = f"Run {run_id} is not in the state tables."
    elif start is not None:
        week = Week.of(start)
        run = await state.successful_run(pipeline, week)
        missing = f"Week {week} of {pipeline} has no successful run, so there is nothing to sync."
    else:
        successful = (RunStatus.SUCCESS, RunStatus.SUCCESS_WITH_REJECTS)
        newest = await state.runs(pipeline, limit=_RUNS_LOOKED_AT)
        run = next((run for run in newest if run.status in successful and not run.options.dry_run), None)
        missing = f"{pipeline} has no successful run yet, so there is nothing to sync."
    if run is None:
        raise RunUnknownError(missing)
    return run


async def preview(
    settings: SfSyncSettings,
    lake: Lake,
    session: SalesforceSession,
    run: Run,
    source: Source,
    *,
    scratch: Path,
    samples: int = 5,
    full: bool = False,
) -> dict[str, Any]:
    """Counts, samples (field → [held, new] where they differ) and the cost. Raises as the sync's planning does.

    `first_sync` says that the week has no snapshot yet, so that every row is new.
    """
    mapping = load_mapping(settings.sf_mapping_file)
    target = await asyncio.to_thread(check_target, session, mapping, source)
    rank = rank_of(run.requested_at, run.run_id, _AFTER_ALL_ROUNDS)
    files = await list_snapshot(lake, run.week, rank)
    async with open_against(lake, files, scratch, fingerprint=target.fingerprint, full=full) as against:
        found = await asyncio.to_thread(_compare, source, target.mapping, against, scratch, samples)
    cost = estimate(
        found["create"] + found["update"],
        job_max_rows=settings.sf_job_max_rows,
        collections_below=settings.sf_collections_below,
    )
    return {
        "run_id": run.run_id,
        "week_start": str(run.week.start),
        "week_end": str(run.week.end),
        "object": target.mapping.object,
        "first_sync": not files.accepted,
        **found,
        "cost": {"api_calls": cost.api_calls, "bulk_batches": cost.bulk_batches},
    }


def _compare(source: Source, mapping: ResolvedMapping, against: Against, scratch: Path, samples: int) -> dict[str, Any]:
    canonical, changes = scratch / "preview.parquet", scratch / "changes.parquet"
    write_canonical(source, mapping, canonical)
    with open_duck(scratch) as duck:
        diff.prepare(duck, canonical, mapping, against)
        diff.write_changes(duck, mapping, against, changes, with_old=True)
        changed = parquet([changes])
        counts = diff.count(duck, changed)
        invalid = duck.rows(
            f"SELECT {KEY}, {FAULT_CODE}, {FAULT_FIELD} FROM invalid_rows ORDER BY ALL LIMIT {samples:d}"
        )
        return {
            "rows": counts.rows,
            "create": counts.creates,
            "update": counts.updates,
            "unchanged": counts.unchanged,
            "invalid": counts.invalid,
            "absent": counts.absent,
            "samples": {
                operation: [
                    _sample(row, mapping) for row in duck.rows(diff.sample_query(changed, mapping, operation, samples))
                ]
                for operation in (CREATES, UPDATES)
            }
            | {"invalid": [{"external_id": key, "code": code, "field": field} for key, code, field in invalid]},
        }


def _sample(row: tuple[str | None, ...], mapping: ResolvedMapping) -> dict[str, Any]:
    """What Salesforce holds stands behind each new value, as `sample_query` selects them."""
    key, *values = row
    pairs = zip(mapping.names, values[::2], values[1::2], strict=True)
    return {"external_id": key, "fields": {field: [old, new] for field, new, old in pairs if new != old}}

"""`python -m services.sf_sync preview --run R`: what a sync of the run's week would send, without sending it.

The same mapping check, canonical form and diff as the sync itself. Prints one JSON object; changes nothing anywhere.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from libs.common.errors import RetlError, TerminalError
from libs.common.lake import Lake, open_lake, paths
from libs.common.service import load_or_exit
from libs.common.state import Run, open_state
from libs.common.synclog import rank_of
from services.sf_sync import diff
from services.sf_sync.canonical import FAULT_CODE, FAULT_FIELD, KEY
from services.sf_sync.composition import open_session
from services.sf_sync.diff import Against
from services.sf_sync.duck import open_duck
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
from services.sf_sync.source import SignalsFile, Source

_AFTER_ALL_ROUNDS: Final = 999


class RunUnknownError(TerminalError):
    """There is no such run."""

    code = "run_unknown"
    next_step = "List the runs with `retl runs`."


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 printed, 1 failed (the reason on stderr), 2 wrong usage or settings."""
    parser = argparse.ArgumentParser(prog="python -m services.sf_sync preview", description=__doc__)
    parser.add_argument("--run", required=True, help="run whose week's published signals are compared")
    parser.add_argument("--rows", type=int, default=5, help="samples of each kind (default 5)")
    parser.add_argument("--full", action="store_true", help="as a full sync: every row is sent")
    arguments = parser.parse_args(argv)
    settings = load_or_exit(SfSyncSettings)
    try:
        found = asyncio.run(_of_run(settings, arguments.run, samples=arguments.rows, full=arguments.full))
    except RetlError as error:
        sys.stderr.write(f"{error}\n{error.next_step}\n")
        return 1
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return 0


async def _of_run(settings: SfSyncSettings, run_id: str, *, samples: int, full: bool) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        state = open_state(settings.state_url)
        stack.push_async_callback(state.aclose)
        lake = open_lake(settings.lake_url, connection_string=settings.datalake_connection_string)
        stack.push_async_callback(lake.aclose)
        session = open_session(settings)
        stack.callback(session.close)
        settings.scratch_dir.mkdir(parents=True, exist_ok=True)
        scratch = stack.enter_context(scratch_folder(settings.scratch_dir))
        run = await state.get_run(run_id)
        if run is None:
            raise RunUnknownError(f"Run {run_id} is not in the state tables.")
        local = lake.local_copy(paths.signals_file(run.week.start, run.week.end), scratch)
        signals = await stack.enter_async_context(local)
        return await preview(
            settings, lake, session, run, SignalsFile(signals), scratch=scratch, samples=samples, full=full
        )


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
    """Counts, samples (field → [held, new] where they differ) and the cost. Raises as the sync's planning does."""
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
        **found,
        "cost": {"api_calls": cost.api_calls, "bulk_batches": cost.bulk_batches},
    }


def _compare(source: Source, mapping: ResolvedMapping, against: Against, scratch: Path, samples: int) -> dict[str, Any]:
    canonical = scratch / "preview.parquet"
    write_canonical(source, mapping, canonical)
    with open_duck(scratch) as duck:
        diff.prepare(duck, canonical, mapping, against)
        counts = diff.count(duck, "changed_rows")
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
                operation: [_sample(row, mapping) for row in duck.rows(diff.sample_query(mapping, operation, samples))]
                for operation in (CREATES, UPDATES)
            }
            | {"invalid": [{"external_id": key, "code": code, "field": field} for key, code, field in invalid]},
        }


def _sample(row: tuple[str | None, ...], mapping: ResolvedMapping) -> dict[str, Any]:
    """What Salesforce holds stands behind each new value, as `sample_query` selects them."""
    key, *values = row
    pairs = zip(mapping.names, values[::2], values[1::2], strict=True)
    return {"external_id": key, "fields": {field: [old, new] for field, new, old in pairs if new != old}}

"""`gate.passed` → what is new or changed is upserted, every row accounted for, and the snapshot moved."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from libs.common.blobs import open_blob
from libs.common.failpoints import failpoint
from libs.common.lake import LakeFileNotFoundError, paths
from libs.common.messages import GatePassed
from libs.common.outcome import Done, Outcome
from libs.common.service import Kit
from libs.common.state import Run, Stage, StageStatus
from services.sf_sync.bulk import BulkClient
from services.sf_sync.bulk_job import RowOutcome, hand_over, has_ended, outcomes
from services.sf_sync.csvfile import CsvPart, write_parts
from services.sf_sync.errors import JobStillRunningError, SyncTakenOverError
from services.sf_sync.mapping import Mapping, ResolvedMapping
from services.sf_sync.mapping_check import picklist_columns, resolve
from services.sf_sync.session import SalesforceSession
from services.sf_sync.settings import SfSyncSettings
from services.sf_sync.verdict import Counts, TopCode, judge, require_complete
from services.sf_sync.week_diff import Diff

SNAPSHOT = f"{paths.SYNC_DIR}/snapshot.parquet"
_OUTCOMES_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What the handler works with."""

    kit: Kit
    settings: SfSyncSettings
    session: SalesforceSession
    mapping: Mapping


async def handle(message: GatePassed, deps: Deps) -> Outcome:
    """Synchronise the week, or go on with the jobs that an earlier delivery handed to Salesforce.

    The difference is computed again on a redelivery; the snapshot has not moved, so it comes out the same and part n of
    it is the job recorded under part n. Raises the errors of errors.py, and those of lake and state.
    """
    kit = deps.kit
    run = await kit.state.get_run(message.run_id)
    if run is None:
        return Done("the run is unknown")
    stage = await kit.state.start_stage(run.run_id, Stage.SALESFORCE_SYNC, kit.clock.now())
    if stage.status is StageStatus.SUCCESS:
        return Done("the week was synchronised before")
    folder = kit.scratch / f"{run.run_id}-sync"
    try:
        async with open_blob(kit.lake, message.signals, kit.scratch) as signals:
            return await _sync(run, signals, folder, full=message.full_sync, deps=deps)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _sync(run: Run, signals: Path, folder: Path, *, full: bool, deps: Deps) -> Outcome:
    kit = deps.kit
    mapping = await asyncio.to_thread(_resolve, deps, signals)
    with Diff(folder, mapping) as diff:
        snapshot = await _fetch_snapshot(kit, folder)
        await asyncio.to_thread(diff.load, signals, snapshot, full=full)
        parts = write_parts(diff.rows_to_send(), mapping, folder, max_rows=deps.settings.sf_job_max_rows)
        for index in itertools.count():
            part = await asyncio.to_thread(next, parts, None)
            if part is None:
                break
            await _send(run, index, part, mapping, diff, deps)
        await failpoint("after_work", stage=Stage.SALESFORCE_SYNC)
        return await _conclude(run, diff, folder, kit, deps.settings)


def _resolve(deps: Deps, signals: Path) -> ResolvedMapping:
    description = deps.session.describe(deps.mapping.object)
    schema = pq.read_schema(signals)
    columns = [name for name in picklist_columns(deps.mapping, description) if name in schema.names]
    table = pq.read_table(signals, columns=columns, partitioning=None)
    distinct = {name: [v for v in table.column(name).unique().to_pylist() if v is not None] for name in columns}
    return resolve(deps.mapping, schema, description, distinct)


async def _fetch_snapshot(kit: Kit, folder: Path) -> Path | None:
    try:
        return await kit.lake.get_file(SNAPSHOT, folder / "snapshot.parquet")
    except LakeFileNotFoundError:
        return None


async def _send(run: Run, index: int, part: CsvPart, mapping: ResolvedMapping, diff: Diff, deps: Deps) -> None:
    """Part `index` through one job: the id is recorded before a byte is uploaded."""
    kit, bulk = deps.kit, BulkClient(deps.session)
    recorded = await kit.state.get_part(run.run_id, Stage.SALESFORCE_SYNC, index)
    if recorded is None:
        job_id = (await asyncio.to_thread(bulk.create, mapping.object, mapping.external_id)).job_id
        recorded = await kit.state.record_part(
            run.run_id,
            Stage.SALESFORCE_SYNC,
            index,
            kit.clock.now(),
            row_count=part.rows,
            details={"job_id": job_id},
        )
        await failpoint("after_commit", stage=Stage.SALESFORCE_SYNC, part=index)
        if recorded.details["job_id"] != job_id:
            raise SyncTakenOverError(f"Part {index} is being sent by another worker.")
    job_id = recorded.details["job_id"]
    await asyncio.to_thread(hand_over, bulk, job_id, part.path)
    await _wait(bulk, job_id, deps)
    found = outcomes(bulk, job_id, mapping.external_id, part.path.parent)
    while batch := await asyncio.to_thread(_take, found):
        await asyncio.to_thread(diff.note, batch)


def _take(found: Iterator[RowOutcome]) -> list[RowOutcome]:
    return list(itertools.islice(found, _OUTCOMES_AT_ONCE))


async def _wait(bulk: BulkClient, job_id: str, deps: Deps) -> None:
    """Look at the job with growing pauses until it has ended; it is never aborted from here."""
    clock, settings = deps.kit.clock, deps.settings
    give_up, pause = clock.monotonic() + settings.sf_job_wait_sec, min(0.1, settings.sf_poll_first_sec)
    while not await asyncio.to_thread(has_ended, bulk, job_id):
        if clock.monotonic() > give_up:
            raise JobStillRunningError(f"Job {job_id} is not done after {settings.sf_job_wait_sec:g} s.")
        await clock.sleep(pause)
        pause = min(pause * 1.5, settings.sf_poll_max_sec)


async def _conclude(run: Run, diff: Diff, folder: Path, kit: Kit, settings: SfSyncSettings) -> Outcome:
    """Counts that add up, the logs and the snapshot in the lake, then the verdict and the end of the stage."""
    figures = await asyncio.to_thread(diff.counts)
    rows = figures.pop("rows")
    counts = Counts(**figures)
    require_complete(counts, rows)
    changes, snapshot = folder / "changes.parquet", folder / "snapshot-new.parquet"
    await asyncio.to_thread(diff.write_changes, changes)
    await kit.lake.put_file(changes, f"{paths.SYNC_DIR}/sync_changes/{run.run_id}.parquet")
    await asyncio.to_thread(diff.write_snapshot, snapshot)
    await kit.lake.put_file(snapshot, SNAPSHOT)
    top = [TopCode(code, number, ids) for code, number, ids in await asyncio.to_thread(diff.top_codes)]
    warning = judge(counts, top, settings.sf_max_error_rate_pct)
    if warning is not None:
        kit.log.warning("rows_not_accepted", text=warning)
    await kit.state.finish_stage(
        run.run_id,
        Stage.SALESFORCE_SYNC,
        StageStatus.SUCCESS,
        kit.clock.now(),
        row_count=counts.total,
        rejected_count=counts.failed + counts.invalid,
        details={**figures, "warning": warning},
    )
    return Done()

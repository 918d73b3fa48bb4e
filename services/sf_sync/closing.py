"""Closes a round: every row is accounted for in the lake, then the result is recorded."""

import asyncio
from pathlib import Path

from libs.common import synclog
from services.sf_sync import limits
from services.sf_sync.accounting import Account, Material, account
from services.sf_sync.files import local_copies, scratch_folder
from services.sf_sync.ledger import Entry, Header, Result, Way
from services.sf_sync.planning import SnapshotFiles, open_against
from services.sf_sync.sending import outcomes_files
from services.sf_sync.tools import Attempt


async def close_round(attempt: Attempt, header: Entry[Header]) -> Entry[Header]:
    """Write logs and snapshot, then record the result. Repeatable up to the record.

    Raises OutcomesIncompleteError, and what lake and ledger raise.
    """
    tools, plan, week = attempt.tools, header.value.planned, attempt.run.week
    rank = attempt.rank(header.value)
    with scratch_folder(tools.scratch) as folder:
        log, snapshot = folder / "log.parquet", folder / "snapshot.parquet"
        figures = await _account(attempt, header.value, log=log, snapshot=snapshot, scratch=folder)
        if plan.changes or plan.invalid:
            await tools.lake.put_file(log, synclog.changes_file(week, rank))
        if figures.counts.accepted:
            await tools.lake.put_file(snapshot, synclog.snapshot_file(week, rank))
    # With the snapshot there, the intent has served its time.
    await tools.lake.delete(synclog.intent_file(week, rank))
    bulk = [wave for wave in header.value.waves if wave.way is Way.BULK]
    result = Result(
        counts=figures.counts,
        top=figures.top,
        retried=figures.retried,
        finished_at=tools.clock.now(),
        jobs=sum(len(wave.sizes) for wave in bulk),
        api_calls=header.value.api_calls + attempt.calls,
        bulk_batches=sum(limits.batches(size) for wave in bulk for size in wave.sizes),
    )
    return await attempt.ledger.move(header, result=result)


async def _account(attempt: Attempt, header: Header, *, log: Path, snapshot: Path, scratch: Path) -> Account:
    tools, plan = attempt.tools, header.planned
    files = SnapshotFiles(accepted=plan.snapshot_files, intents=plan.intent_files)
    first, later = header.waves[:1], header.waves[1:]
    sizes = [size for wave in first for size in wave.sizes]
    first_files, later_files = ([file for wave in waves for file in outcomes_files(wave)] for waves in (first, later))
    async with (
        open_against(tools.lake, files, tools.scratch, fingerprint=plan.fingerprint) as against,
        local_copies(tools.lake, [plan.changes_file, plan.invalid_file], tools.scratch) as (changes, invalid),
        local_copies(tools.lake, first_files, tools.scratch) as first_outcomes,
        local_copies(tools.lake, later_files, tools.scratch) as later_outcomes,
    ):
        material = Material(
            changes=changes,
            invalid=invalid,
            first=list(zip(sizes, first_outcomes, strict=True)),
            later=later_outcomes,
            against=against,
        )
        return await asyncio.to_thread(
            account,
            material,
            plan,
            attempt.run.week,
            run_id=attempt.run.run_id,
            rank=attempt.rank(header),
            changes_log=log,
            snapshot=snapshot,
            scratch=scratch,
        )

"""One run's sync from plan to result, resumable at any point.

A round is: plan (files and intent in the lake, then the header) → waves of sendings → account (logs, snapshot, then
the header). A sync that ended with too many failed rows and is asked for again begins another round: its diff finds the
rows that Salesforce did not take.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from libs.common import synclog
from libs.common.clock import Clock
from libs.common.lake import Lake, paths
from libs.common.state import Run, State
from services.sf_sync import limits
from services.sf_sync.accounting import Material, account, retry_rows, run_row, write_table
from services.sf_sync.bulk import BATCH_ROWS, BulkClient
from services.sf_sync.errors import TooManyRejectedError
from services.sf_sync.files import local_copies, scratch_folder
from services.sf_sync.ledger import Entry, Header, Ledger, Plan, Result, Send, Wave, Way
from services.sf_sync.mapping import Mapping
from services.sf_sync.outcomes import Kind, next_wave
from services.sf_sync.planning import SnapshotFiles, check_target, make_plan, open_against
from services.sf_sync.sending import Patience, Sender, outcomes_file
from services.sf_sync.session import SalesforceSession
from services.sf_sync.settings import SfSyncSettings
from services.sf_sync.source import Source
from services.sf_sync.takeover import take_over
from services.sf_sync.verdict import judge
from services.sf_sync.waves import lay_out

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What syncs are made with; one set a process."""

    settings: SfSyncSettings
    state: State
    lake: Lake
    clock: Clock
    scratch: Path
    session: SalesforceSession
    mapping: Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a sync ended well enough."""

    rows_accepted: int
    rows_failed: int
    details: dict[str, Any]
    """For the stage row: the five counts, what it cost, and the reasons of what failed."""


class RunSync:
    """The sync of one run."""

    def __init__(self, tools: Tools, run: Run, *, attempt: int, full: bool) -> None:
        self._tools, self._run, self._attempt, self._full = tools, run, attempt, full
        self._bulk = BulkClient(tools.session)
        self._ledger = Ledger(tools.state, run.run_id, tools.clock)
        self._calls_before = tools.session.calls

    async def finish(self, source: Source) -> Report:
        """Bring the run's rows into Salesforce, or go on where an earlier attempt stopped.

        Raises TooManyRejectedError (its round is closed and logged then), SyncTakenOverError where a newer run of the
        week, or another worker, has this sync, and what the parts of it raise.
        """
        header = await self._ledger.header()
        if header.value.result is not None:
            try:
                return await self._report(header.value)
            except TooManyRejectedError:
                header = await self._next_round(header)
        if header.value.plan is None:
            header = await self._plan(header, source)
        header = await self._send(header)
        return await self._report((await self._close(header)).value)

    async def _next_round(self, header: Entry[Header]) -> Entry[Header]:
        done = header.value
        counts = _result(done).counts
        return await self._ledger.move(
            header,
            round=done.round + 1,
            plan=None,
            waves=[],
            result=None,
            created=done.created + counts.created,
            updated=done.updated + counts.updated,
        )

    async def _plan(self, header: Entry[Header], source: Source) -> Entry[Header]:
        tools = self._tools
        await take_over(tools.state, self._bulk, tools.clock, self._run)
        target = await asyncio.to_thread(check_target, tools.session, tools.mapping, source)
        plan = await make_plan(
            tools.lake,
            tools.scratch,
            source,
            target,
            week=self._run.week,
            rank=self._rank(header.value),
            # Of this attempt alone: another worker that plans at the same time must not change what this one records.
            folder=f"{paths.run_sync_dir(self._run.run_id)}/round-{header.value.round:03d}-{self._attempt:03d}",
            full=self._full and header.value.round == 0,
        )
        _log.info("sync_planned", rows=plan.rows, changes=plan.changes, invalid=plan.invalid)
        await self._require_room(plan)
        waves = []
        if plan.changes:
            async with local_copies(tools.lake, [plan.changes_file], tools.scratch) as (local,):
                first = await self._lay_out(
                    header.value, plan, local, plan.changes_file, plan.changes, tools.settings.sf_job_max_rows
                )
            waves.append(first)
        return await self._record_waves(header, plan, waves)

    async def _require_room(self, plan: Plan) -> None:
        settings = self._tools.settings
        cost = limits.estimate(
            plan.changes,
            job_max_rows=settings.sf_job_max_rows,
            collections_below=settings.sf_collections_below,
        )
        if plan.changes:
            found = await asyncio.to_thread(self._tools.session.limits)
            limits.require_room(found, cost, settings.sf_limit_reserve_pct)

    async def _lay_out(self, header: Header, plan: Plan, local: Path, file: str, rows: int, rows_per_send: int) -> Wave:
        return await lay_out(
            self._tools.lake,
            self._tools.scratch,
            local,
            file=file,
            rows=rows,
            mapping=plan.mapping,
            rows_per_send=rows_per_send,
            collections_below=self._tools.settings.sf_collections_below,
            first_part=header.next_part,
        )

    async def _record_waves(self, header: Entry[Header], plan: Plan, waves: list[Wave]) -> Entry[Header]:
        next_part = waves[-1].first_part + len(waves[-1].sizes) if waves else header.value.next_part
        return await self._ledger.move(header, plan=plan, waves=waves, next_part=next_part)

    async def _send(self, header: Entry[Header]) -> Entry[Header]:
        """Send every wave of the round, and lay out the next for as long as failed rows may yet succeed."""
        plan, settings = _plan(header.value), self._tools.settings
        sender = self._sender(plan)
        number = 0
        while number < len(header.value.waves):
            wave = header.value.waves[number]
            failed = await self._send_wave(sender, number, wave)
            following = next_wave(
                failed,
                wave=number,
                rows_per_send=min(wave.rows_per_send, wave.rows, BATCH_ROWS),
                max_retries=settings.sf_row_retries,
                first_wait_sec=settings.sf_row_retry_wait_sec,
            )
            number += 1
            if following is not None and number == len(header.value.waves):
                _log.warning("rows_sent_again", wave=number, kinds=list(following.kinds), failed=dict(failed))
                await self._tools.clock.sleep(following.wait_sec * random.uniform(0.9, 1.1))
                again = await self._retry_wave(header.value, wave, number, following.kinds, following.rows_per_send)
                header = await self._record_waves(header, plan, [*header.value.waves, again])
        return header

    async def _send_wave(self, sender: Sender, number: int, wave: Wave) -> Counter[Kind]:
        """Take all sendings of a wave to their end, some at a time; the failed rows by kind."""
        slots = asyncio.Semaphore(self._tools.settings.sf_concurrent_jobs if wave.way is Way.BULK else 1)

        async def one(portion: int) -> Entry[Send]:
            async with slots:
                return await sender.finish(number, wave, portion)

        # All are heard out before one's error ends the attempt: what the others achieve need not be waited for again.
        ends = await asyncio.gather(*(one(portion) for portion in range(len(wave.sizes))), return_exceptions=True)
        failed: Counter[Kind] = Counter()
        for end in ends:
            if isinstance(end, BaseException):
                raise end
            failed.update(end.value.failed)
        return failed

    async def _retry_wave(
        self, header: Header, wave: Wave, number: int, kinds: tuple[Kind, ...], rows_per_send: int
    ) -> Wave:
        tools, plan = self._tools, _plan(header)
        file = f"{plan.folder}/wave-{number:02d}.parquet"
        outcomes = [outcomes_file(wave, portion) for portion in range(len(wave.sizes))]
        with scratch_folder(tools.scratch) as folder:
            local = folder / "rows.parquet"
            async with (
                local_copies(tools.lake, [wave.file], tools.scratch) as (sent,),
                local_copies(tools.lake, outcomes, tools.scratch) as said,
            ):
                rows = await asyncio.to_thread(retry_rows, sent, said, kinds, local, folder)
            await tools.lake.put_file(local, file)
            return await self._lay_out(header, plan, local, file, rows, rows_per_send)

    async def _close(self, header: Entry[Header]) -> Entry[Header]:
        """Write logs and snapshot, then record the result. With the snapshot there, the intent has served its time."""
        tools, plan, week = self._tools, _plan(header.value), self._run.week
        rank = self._rank(header.value)
        first, later = (
            [outcomes_file(wave, portion) for wave in waves for portion in range(len(wave.sizes))]
            for waves in (header.value.waves[:1], header.value.waves[1:])
        )
        sizes = [size for wave in header.value.waves[:1] for size in wave.sizes]
        files = SnapshotFiles(accepted=plan.snapshot_files, intents=plan.intent_files)
        with scratch_folder(tools.scratch) as folder:
            log, snapshot = folder / "log.parquet", folder / "snapshot.parquet"
            async with (
                open_against(tools.lake, files, tools.scratch, fingerprint=plan.fingerprint) as against,
                local_copies(tools.lake, [plan.changes_file, plan.invalid_file], tools.scratch) as (changes, invalid),
                local_copies(tools.lake, first, tools.scratch) as first_outcomes,
                local_copies(tools.lake, later, tools.scratch) as later_outcomes,
            ):
                figures = await asyncio.to_thread(
                    account,
                    Material(
                        changes=changes,
                        invalid=invalid,
                        first=list(zip(sizes, first_outcomes, strict=True)),
                        later=later_outcomes,
                        against=against,
                    ),
                    plan,
                    week,
                    run_id=self._run.run_id,
                    rank=rank,
                    changes_log=log,
                    snapshot=snapshot,
                    scratch=folder,
                )
            if plan.changes or plan.invalid:
                await tools.lake.put_file(log, synclog.changes_file(week, rank))
            if figures.counts.accepted:
                await tools.lake.put_file(snapshot, synclog.snapshot_file(week, rank))
        await tools.lake.delete(synclog.intent_file(week, rank))
        bulk = [wave for wave in header.value.waves if wave.way is Way.BULK]
        result = Result(
            counts=figures.counts,
            top=figures.top,
            retried=figures.retried,
            finished_at=tools.clock.now(),
            jobs=sum(len(wave.sizes) for wave in bulk),
            api_calls=tools.session.calls - self._calls_before,
            bulk_batches=sum(limits.batches(size) for wave in bulk for size in wave.sizes),
        )
        return await self._ledger.move(header, result=result)

    async def _report(self, header: Header) -> Report:
        """Log the round's counts and judge them. Raises TooManyRejectedError."""
        plan, result = _plan(header), _result(header)
        counts = result.counts
        refusal: TooManyRejectedError | None = None
        warning: str | None = None
        try:
            warning = judge(counts, result.top, self._tools.settings.sf_max_error_rate_pct)
        except TooManyRejectedError as error:
            refusal, warning = error, str(error)
        await self._log_run(header, warning)
        if refusal is not None:
            raise refusal
        if warning:
            _log.warning("rows_failed", text=warning)
        created, updated = header.created + counts.created, header.updated + counts.updated
        details = {
            "created": created,
            "updated": updated,
            "unchanged": counts.total - created - updated - counts.failed - counts.invalid,
            "failed": counts.failed,
            "invalid": counts.invalid,
            "absent": plan.absent,
            "retried": result.retried,
            "jobs": result.jobs,
            "api_calls": result.api_calls,
            "bulk_batches": result.bulk_batches,
            "warning": warning,
            "top_codes": {each.code: each.rows for each in result.top},
        }
        return Report(rows_accepted=created + updated, rows_failed=counts.failed + counts.invalid, details=details)

    async def _log_run(self, header: Header, warning: str | None) -> None:
        tools, week = self._tools, self._run.week
        table = run_row(
            _plan(header),
            _result(header),
            week,
            run_id=self._run.run_id,
            round_number=header.round,
            warning=warning,
        )
        with scratch_folder(tools.scratch) as folder:
            local = folder / "run.parquet"
            await asyncio.to_thread(write_table, table, local)
            await tools.lake.put_file(local, synclog.runs_file(week, self._rank(header)))

    def _rank(self, header: Header) -> str:
        return synclog.rank_of(self._run.requested_at, self._run.run_id, header.round)

    def _sender(self, plan: Plan) -> Sender:
        tools, settings = self._tools, self._tools.settings
        return Sender(
            session=tools.session,
            bulk=self._bulk,
            lake=tools.lake,
            ledger=self._ledger,
            clock=tools.clock,
            scratch=tools.scratch,
            mapping=plan.mapping,
            patience=Patience(
                first_sec=settings.sf_poll_first_sec,
                max_sec=settings.sf_poll_max_sec,
                total_sec=settings.sf_job_wait_sec,
            ),
        )


def _plan(header: Header) -> Plan:
    if header.plan is None:
        raise AssertionError("a round that sends has a plan")
    return header.plan


def _result(header: Header) -> Result:
    if header.result is None:
        raise AssertionError("a round that is reported on has a result")
    return header.result

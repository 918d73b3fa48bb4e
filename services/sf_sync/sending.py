"""Takes one sending through its life. Each step is recorded before its call, so that a crash is taken up there.

What an unanswered call means: an upload may have arrived, but an Open job has processed nothing and is replaced; a job
that was closed is asked how it stands and never sent again; a Collections call is repeated, which the upsert absorbs.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import pyarrow.parquet as pq
import structlog

from libs.common.clock import Clock
from libs.common.lake import Lake
from services.sf_sync import composite, results
from services.sf_sync.bulk import BulkClient, Job, JobState, ResultSet
from services.sf_sync.canonical import KEY
from services.sf_sync.errors import (
    JobStillRunningError,
    OutcomesIncompleteError,
    SalesforceRequestError,
    SalesforceUnavailableError,
    SyncTakenOverError,
)
from services.sf_sync.files import local_copies, scratch_folder
from services.sf_sync.job_outcomes import write_job_outcomes
from services.sf_sync.ledger import Entry, Ledger, Send, SendState, Wave
from services.sf_sync.mapping import ResolvedMapping
from services.sf_sync.patience import Patience
from services.sf_sync.session import SalesforceSession

_log: Final = structlog.get_logger(__name__)
_TRIES: Final = 4
_NOT_FOUND: Final = 404
T = TypeVar("T")


def outcomes_file(wave: Wave, number: int) -> str:
    """Where the outcomes of a sending lie in the lake; each round has its own folder."""
    return f"{wave.file.removesuffix('.parquet')}/outcomes-{number:05d}.parquet"


def outcomes_files(wave: Wave) -> list[str]:
    """Those of all sendings of a wave, in order."""
    return [outcomes_file(wave, number) for number in range(len(wave.sizes))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends for one run. Raises what the session, the lake and the ledger raise, and as said at the methods."""

    session: SalesforceSession
    bulk: BulkClient
    lake: Lake
    ledger: Ledger
    clock: Clock
    scratch: Path
    mapping: ResolvedMapping
    patience: Patience
    until: float
    """When the attempt's time ends, by the clock's `monotonic`: nothing is begun after it."""

    async def finish(self, wave_number: int, wave: Wave, number: int, rows: Path | None = None) -> Entry[Send]:
        """Send one portion of a wave, or go on where its record stands; returns it done.

        `rows` is a local copy of the wave's file, which calls of the Collections API are made from.
        Raises JobStillRunningError when the attempt's time ends first, and OutcomesIncompleteError.
        """
        planned = Send(wave=wave_number, number=number, rows=wave.sizes[number])
        entry = await self.ledger.send(wave.first_part + number, planned)
        if entry.value.state is SendState.GIVEN_UP:
            raise SyncTakenOverError(f"A newer run of the week has taken sending {entry.part} over.")
        if entry.value.state in {SendState.PLANNED, SendState.CALLING} and self.clock.monotonic() > self.until:
            raise JobStillRunningError(
                f"{self.patience.total_sec:.0f} s have not sufficed; {entry.part} is to be sent."
            )
        if rows is not None:
            return entry if entry.value.state.is_final else await self._call(entry, wave, rows)
        steps = {
            SendState.PLANNED: self._create,
            SendState.CREATED: self._upload,
            SendState.UPLOADING: self._replace,
            SendState.CLOSING: self._close,
            SendState.RUNNING: self._collect,
        }
        tries = 0
        while not entry.value.state.is_final:
            before = entry.value.state
            entry = await steps[before](entry, wave)
            if before in {SendState.UPLOADING, entry.value.state}:
                tries += 1
                if tries == _TRIES:
                    raise SalesforceUnavailableError(f"Handing over job {entry.value.job_id} failed {_TRIES} times.")
                await self.clock.sleep(self.patience.wait(tries))
        return entry

    async def _create(self, entry: Entry[Send], wave: Wave) -> Entry[Send]:
        job = await asyncio.to_thread(self.bulk.create, self.mapping.object, self.mapping.external_id)
        _log.info("job_created", job_id=job.job_id, rows=entry.value.rows)
        return await self.ledger.move(entry, state=SendState.CREATED, job_id=job.job_id)

    async def _upload(self, entry: Entry[Send], wave: Wave) -> Entry[Send]:
        entry = await self.ledger.move(entry, state=SendState.UPLOADING)
        async with local_copies(self.lake, [wave.csv_file(entry.value.number)], self.scratch) as (csv,):
            try:
                await asyncio.to_thread(self.bulk.upload, _job_id(entry), csv)
            except SalesforceUnavailableError as error:
                _log.warning("upload_broke_off", job_id=entry.value.job_id, text=str(error))
                return entry
        return await self.ledger.move(entry, state=SendState.CLOSING)

    async def _replace(self, entry: Entry[Send], wave: Wave) -> Entry[Send]:
        """Whether the data arrived cannot be told, and it can be uploaded only once: begin again with another job."""
        job_id = _job_id(entry)
        job = await self._look(job_id)
        if job is not None and job.state is not JobState.OPEN:
            return await self.ledger.move(entry, state=SendState.RUNNING)
        # Recorded before the abort: whoever still uploads to the old job finds the record moved and does not close it.
        entry = await self.ledger.move(entry, state=SendState.PLANNED, job_id=None)
        if job is not None:
            try:
                await asyncio.to_thread(self.bulk.abort, job_id)
            except (SalesforceUnavailableError, SalesforceRequestError) as error:
                _log.warning("open_job_left", job_id=job_id, text=str(error))
        return entry

    async def _close(self, entry: Entry[Send], wave: Wave) -> Entry[Send]:
        try:
            await asyncio.to_thread(self.bulk.close, _job_id(entry))
        except (SalesforceUnavailableError, SalesforceRequestError) as error:
            job = await self._look(_job_id(entry))
            if job is None:
                return await self.ledger.move(entry, state=SendState.PLANNED, job_id=None)
            if job.state is JobState.OPEN:
                if isinstance(error, SalesforceRequestError):
                    raise
                return entry
        return await self.ledger.move(entry, state=SendState.RUNNING)

    async def _collect(self, entry: Entry[Send], wave: Wave) -> Entry[Send]:
        job = await self._ended(_job_id(entry))
        if job is None:  # Salesforce forgets jobs after 7 days; the upsert absorbs rows that had arrived
            return await self.ledger.move(entry, state=SendState.PLANNED, job_id=None)
        _log.info("job_ended", job_id=job.job_id, state=job.state, text=job.error_message)
        with scratch_folder(self.scratch) as folder:
            local = folder / "outcomes.parquet"
            pages = {which: await self._results(job, which, folder) for which in ResultSet}
            outcomes = partial(write_job_outcomes, local, job, pages, entry.value.wave, self.mapping.external_id)
            written = await asyncio.to_thread(outcomes, rows=entry.value.rows)
            await self.lake.put_file(local, outcomes_file(wave, entry.value.number))
        return await self.ledger.move(entry, state=SendState.DONE, failed=written.failed)

    async def _results(self, job: Job, which: ResultSet, folder: Path) -> list[Path]:
        return await self._patiently(lambda: self.bulk.results(job.job_id, which, folder))

    async def _look(self, job_id: str) -> Job | None:
        """How the job stands; None if Salesforce does not know it."""
        try:
            return await self._patiently(lambda: self.bulk.get(job_id))
        except SalesforceRequestError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def _ended(self, job_id: str) -> Job | None:
        """Wait until the job has ended. A look that fails says nothing about the job, so it only costs the wait."""
        look = 0
        while True:
            await self.clock.sleep(self.patience.wait(look))
            look += 1
            try:
                job = await self._look(job_id)
            except SalesforceUnavailableError as error:
                _log.warning("poll_failed", job_id=job_id, text=str(error))
            else:
                if job is None or job.state.is_ended:
                    return job
            if self.clock.monotonic() > self.until:
                raise JobStillRunningError(
                    f"Job {job_id} has not ended within the {self.patience.total_sec:.0f} s of this attempt."
                )

    async def _patiently(self, read: Callable[[], T]) -> T:
        """Repeat a reading call that finds Salesforce away; its last error is the caller's."""
        for look in range(_TRIES - 1):
            try:
                return await asyncio.to_thread(read)
            except SalesforceUnavailableError:
                await self.clock.sleep(self.patience.wait(look))
        return await asyncio.to_thread(read)

    async def _call(self, entry: Entry[Send], wave: Wave, source: Path) -> Entry[Send]:
        entry = await self.ledger.move(entry, state=SendState.CALLING)
        start = entry.value.number * wave.rows_per_send
        rows = await asyncio.to_thread(_slice, source, start, entry.value.rows, self.mapping)
        bodies = [{name: row[name] for name in self.mapping.names} for row in rows]
        outcomes = await self._patiently(lambda: composite.upsert(self.session, self.mapping, bodies))
        if len(outcomes) != len(rows):
            raise OutcomesIncompleteError(f"A call with {len(rows)} rows was answered for {len(outcomes)}.")
        keys = [str(row[KEY]) for row in rows]
        with scratch_folder(self.scratch) as folder:
            local = folder / "outcomes.parquet"
            with results.OutcomeWriter(local, wave=entry.value.wave, job_id=None) as writer:
                writer.add(keys, outcomes)
            await self.lake.put_file(local, outcomes_file(wave, entry.value.number))
        return await self.ledger.move(entry, state=SendState.DONE, failed=writer.failed)


def _job_id(entry: Entry[Send]) -> str:
    if entry.value.job_id is None:
        raise AssertionError(f"a sending that is {entry.value.state} has a job")
    return entry.value.job_id


def _slice(source: Path, start: int, rows: int, mapping: ResolvedMapping) -> list[dict[str, str | None]]:
    """Rows of a file that may hold many times as many: only the row groups that they lie in are read."""
    wanted: list[int] = []
    first = end = 0
    with pq.ParquetFile(source, pre_buffer=False) as file:
        for group in range(file.num_row_groups):
            begin, end = end, end + file.metadata.row_group(group).num_rows
            if begin < start + rows and end > start:
                first = first if wanted else begin
                wanted.append(group)
        table = file.read_row_groups(wanted, columns=[KEY, *mapping.names], use_threads=False)
    found: list[dict[str, str | None]] = table.slice(start - first, rows).to_pylist()
    return found

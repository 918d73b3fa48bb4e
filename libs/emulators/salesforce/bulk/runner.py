"""Carries closed jobs through UploadComplete → InProgress → JobComplete or Failed, beside the event loop."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from libs.emulators.salesforce.bulk.jobs import FAILED, IN_PROGRESS, JOB_COMPLETE, RUNNING, Job
from libs.emulators.salesforce.bulk.processing import BATCH_ROWS, JobProcessor
from libs.emulators.salesforce.errors import JobFailure
from libs.emulators.salesforce.faults import JobFailed, SlowJob
from libs.emulators.salesforce.org import Org

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Stop:
    """A set failure: the job ends as Failed after so many rows."""

    after_rows: int
    message: str


class JobRunner:
    """Owns one task per running job. Several jobs take turns batch by batch on the writer thread."""

    def __init__(self, org: Org, *, delay_sec: float) -> None:
        self._org = org
        self._delay_sec = delay_sec
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Take up the jobs that were running when the process ended."""
        for job in self._org.jobs.in_states(RUNNING):
            log.info("resuming job %s at byte %d of its upload", job.id, job.next_offset)
            self.start(job)

    def start(self, job: Job) -> None:
        """Process a closed job in the background."""
        task = asyncio.create_task(self._run(job), name=f"bulk job {job.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End all tasks; the batch that is being applied is finished first by the writer thread."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job) -> None:
        try:
            await self._process(job)
        except JobFailure as error:
            log.info("job %s failed: %s", job.id, error)
            await self._finish(job, FAILED, str(error))
        except Exception as error:
            log.exception("job %s ended in a defect of the emulator", job.id)
            await self._finish(job, FAILED, f"InternalServerError : {error}")

    async def _process(self, job: Job) -> None:
        org = self._org
        await asyncio.sleep(self._delay_sec)
        if not await org.write(org.jobs.advance, job.id, IN_PROGRESS, org.now()):
            return
        slow = org.faults.take(SlowJob)
        await asyncio.sleep(slow.seconds if slow else 0)
        fault = org.faults.take(JobFailed)
        stop = _Stop(fault.after_rows, fault.message) if fault else None
        processor = await org.write(self._open, job)
        offset, done = job.next_offset, job.processed
        while offset < (job.upload_bytes or 0):
            room = BATCH_ROWS if stop is None else min(BATCH_ROWS, stop.after_rows - done)
            if room <= 0:
                break
            if not org.usage.take_batch():
                raise JobFailure("ExceededQuota : ApiBatchItems Limit exceeded.")
            rows, offset = await org.write(processor.process_batch, offset, room)
            if rows == 0:
                org.usage.return_batch()
                break
            done += rows
        if stop is not None and done >= stop.after_rows:
            raise JobFailure(stop.message)
        await self._finish(job, JOB_COMPLETE, None)

    def _open(self, job: Job) -> JobProcessor:
        org = self._org
        one = org.schema.find(job.object)
        if one is None:
            raise JobFailure(f"InvalidEntity : Entity '{job.object}' is no longer in the schema")
        return JobProcessor(job, one, database=org.database, jobs=org.jobs, faults=org.faults, now=org.now)

    async def _finish(self, job: Job, state: str, error: str | None) -> None:
        await self._org.write(lambda: self._org.jobs.advance(job.id, state, self._org.now(), error=error))

"""Two runs of one week: the newer one waits for, or gives up, what a superseded one has under way.

So rows of the older run never land after the newer run's, though its worker may still be alive: the header is taken
from it, so that it lays out no more, and so is every sending, begun or not. What is given up was announced by the older
round's intent file, so the newer run's diff sends those rows again, whatever their values.
"""

import asyncio

import structlog

from libs.common.clock import Clock
from libs.common.state import Run, State
from services.sf_sync.bulk import BulkClient, JobState
from services.sf_sync.errors import EarlierSyncRunningError, SalesforceRequestError, SyncTakenOverError
from services.sf_sync.ledger import Entry, Header, Ledger, Send, SendState

_RUNS_LOOKED_AT = 100
_log = structlog.get_logger(__name__)


async def take_over(state: State, bulk: BulkClient, clock: Clock, run: Run) -> None:
    """Make sure that no other run of this week has a sending under way, or will have one.

    Raises EarlierSyncRunningError while Salesforce works on a job of such a run, and SyncTakenOverError if this run is
    itself the superseded one.
    """
    for other in await state.runs(run.pipeline_name, run.week, limit=_RUNS_LOOKED_AT):
        if other.run_id == run.run_id or other.options.dry_run:
            continue
        if other.status.is_success:  # a week has one successful run, and since a moment ago it is not this one
            raise SyncTakenOverError(f"Run {other.run_id} of the week has superseded {run.run_id}.")
        ledger = Ledger(state, other.run_id, clock)
        header = await ledger.fence()
        if header is not None and header.result is None:
            await _give_up_unbegun(ledger, header)
        for entry in await ledger.sends():
            if not entry.value.state.is_final:
                await _give_up(ledger, entry, bulk, other)


async def _give_up_unbegun(ledger: Ledger, header: Header) -> None:
    for number, wave in enumerate(header.waves):
        for portion, rows in enumerate(wave.sizes):
            given_up = Send(wave=number, number=portion, rows=rows, state=SendState.GIVEN_UP)
            await ledger.send(wave.first_part + portion, given_up)


async def _give_up(ledger: Ledger, entry: Entry[Send], bulk: BulkClient, other: Run) -> None:
    job_id = entry.value.job_id
    state = await _state_of(bulk, job_id) if job_id else None
    if state in {JobState.UPLOAD_COMPLETE, JobState.IN_PROGRESS}:
        raise EarlierSyncRunningError(f"Job {job_id} of the superseded run {other.run_id} is {state}.")
    # The record first: the other run's worker, should it still live, finds it moved and does not close the job.
    try:
        await ledger.move(entry, state=SendState.GIVEN_UP)
    except SyncTakenOverError as error:
        raise EarlierSyncRunningError(f"The superseded run {other.run_id} is still sending.") from error
    if job_id and state is JobState.OPEN:
        try:
            await asyncio.to_thread(bulk.abort, job_id)
        except SalesforceRequestError as error:
            _log.warning("open_job_left", job_id=job_id, text=str(error))


async def _state_of(bulk: BulkClient, job_id: str) -> JobState | None:
    try:
        return (await asyncio.to_thread(bulk.get, job_id)).state
    except SalesforceRequestError:
        return None

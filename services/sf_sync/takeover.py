"""Two runs of one week: the newer one waits for, or gives up, what a superseded one has under way.

So rows of the older run never land after the newer run's. What is given up was announced by the older round's intent
file, so the newer run's diff sends those rows again, whatever their values.
"""

import asyncio

from libs.common.clock import Clock
from libs.common.state import Run, State
from services.sf_sync.bulk import BulkClient, JobState
from services.sf_sync.errors import EarlierSyncRunningError, SalesforceRequestError
from services.sf_sync.ledger import Entry, Ledger, Send, SendState

_RUNS_LOOKED_AT = 100


async def take_over(state: State, bulk: BulkClient, clock: Clock, run: Run) -> None:
    """Make sure that no other run of this week has a sending under way.

    Raises EarlierSyncRunningError while Salesforce works on a job of such a run.
    """
    for other in await state.runs(run.pipeline_name, run.week, limit=_RUNS_LOOKED_AT):
        if other.run_id == run.run_id:
            continue
        ledger = Ledger(state, other.run_id, clock)
        for entry in await ledger.sends():
            if not entry.value.state.is_final:
                await _give_up(ledger, entry, bulk, other)


async def _give_up(ledger: Ledger, entry: Entry[Send], bulk: BulkClient, other: Run) -> None:
    job_id = entry.value.job_id
    state = await _state_of(bulk, job_id) if job_id else None
    if state in {JobState.UPLOAD_COMPLETE, JobState.IN_PROGRESS}:
        raise EarlierSyncRunningError(f"Job {job_id} of the superseded run {other.run_id} is {state}.")
    # The record first: the other run's worker, should it still live, finds it moved and does not close the job.
    await ledger.move(entry, state=SendState.GIVEN_UP)
    if job_id and state is JobState.OPEN:
        await asyncio.to_thread(bulk.abort, job_id)


async def _state_of(bulk: BulkClient, job_id: str) -> JobState | None:
    try:
        return (await asyncio.to_thread(bulk.get, job_id)).state
    except SalesforceRequestError:
        return None

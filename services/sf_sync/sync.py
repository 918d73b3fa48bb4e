"""One run's sync from plan to result, resumable at any point.

A round is: open (files and intent in the lake, then the header) → deliver (waves of sendings) → close (logs, snapshot,
then the header) → report. A sync that ended with too many failed rows and is asked for again begins another round: its
diff finds the rows that Salesforce did not take.
"""

from libs.common.errors import RetlError
from services.sf_sync.closing import close_round
from services.sf_sync.delivery import deliver
from services.sf_sync.errors import SyncTakenOverError, TooManyRejectedError
from services.sf_sync.ledger import Entry, Header
from services.sf_sync.opening import open_round
from services.sf_sync.report import Report, report
from services.sf_sync.source import Source
from services.sf_sync.tools import Attempt


async def finish(attempt: Attempt, source: Source) -> Report:
    """Bring the run's rows into Salesforce, or go on where an earlier attempt stopped.

    Raises TooManyRejectedError (its round is closed and logged then), SyncTakenOverError where a newer run of the
    week, or another worker, has this sync, and what the parts of it raise.
    """
    try:
        return await _finish(attempt, source)
    except RetlError as error:
        header = await attempt.ledger.header()
        # Who takes a sync over aborts its open job, for one.
        if header.value.taken_over:
            raise SyncTakenOverError(f"A newer run of the week took over from {attempt.run.run_id}.") from error
        if header.value.result is None:
            await attempt.ledger.move(header, api_calls=header.value.api_calls + attempt.calls)
        raise


async def _finish(attempt: Attempt, source: Source) -> Report:
    header = await attempt.ledger.header()
    if header.value.taken_over:
        raise SyncTakenOverError(f"A newer run of the week has taken over from {attempt.run.run_id}.")
    if header.value.result is not None:
        try:
            return await report(attempt, header.value)
        except TooManyRejectedError:
            header = await _next_round(attempt, header)
    if header.value.plan is None:
        header = await open_round(attempt, header, source)
    header = await deliver(attempt, header)
    header = await close_round(attempt, header)
    return await report(attempt, header.value)


async def _next_round(attempt: Attempt, header: Entry[Header]) -> Entry[Header]:
    done = header.value
    counts = done.ended.counts
    return await attempt.ledger.move(
        header,
        round=done.round + 1,
        plan=None,
        waves=[],
        result=None,
        api_calls=0,
        created=done.created + counts.created,
        updated=done.updated + counts.updated,
    )

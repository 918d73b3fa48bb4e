"""Delivers a round: its waves one after the other, each further one made of what failed and may yet succeed."""

import asyncio
import random
from collections import Counter
from typing import Final

import structlog

from services.sf_sync import limits
from services.sf_sync.accounting import retry_rows
from services.sf_sync.bulk import BATCH_ROWS
from services.sf_sync.errors import SalesforceLimitError
from services.sf_sync.files import local_copies, scratch_folder
from services.sf_sync.ledger import Entry, Header, Plan, Send, Wave, Way
from services.sf_sync.outcomes import Kind, NextWave, next_wave
from services.sf_sync.patience import Patience
from services.sf_sync.sending import Sender, outcomes_files
from services.sf_sync.tools import Attempt
from services.sf_sync.waves import lay_out

_log: Final = structlog.get_logger(__name__)


async def deliver(attempt: Attempt, header: Entry[Header]) -> Entry[Header]:
    """Take every wave of the round to its end, and lay out the next for as long as failed rows may yet succeed.

    Raises JobStillRunningError, OutcomesIncompleteError, and what session, lake and ledger raise; what was delivered
    until then is on record.
    """
    plan, settings = header.value.planned, attempt.tools.settings
    sender = _sender(attempt, plan)
    number = 0
    while number < len(header.value.waves):
        wave = header.value.waves[number]
        failed = await _send_wave(sender, number, wave, at_a_time=settings.sf_concurrent_jobs)
        following = next_wave(
            failed,
            wave=number,
            rows_per_send=min(wave.rows_per_send, wave.rows, BATCH_ROWS),
            max_retries=settings.sf_row_retries,
            first_wait_sec=settings.sf_row_retry_wait_sec,
        )
        number += 1
        if following is not None and number == len(header.value.waves):
            if not await _has_room(attempt, following, sum(failed[kind] for kind in following.kinds)):
                break
            _log.warning("rows_sent_again", wave=number, kinds=list(following.kinds), failed=dict(failed))
            await attempt.tools.clock.sleep(following.wait_sec * random.uniform(0.9, 1.1))
            again = await _retry_wave(attempt, header.value, wave, number, following)
            header = await attempt.ledger.plan_waves(header, plan, [*header.value.waves, again])
    return header


async def _has_room(attempt: Attempt, following: NextWave, rows: int) -> bool:
    """Whether the org's allowances bear another wave: halves of halves cost more each time.

    If not, the rows stay failed, and come again with the next sync.
    """
    settings = attempt.tools.settings
    cost = limits.estimate(rows, job_max_rows=following.rows_per_send, collections_below=settings.sf_collections_below)
    found = await asyncio.to_thread(attempt.tools.session.limits)
    try:
        limits.require_room(found, cost, settings.sf_limit_reserve_pct)
    except SalesforceLimitError as error:
        _log.warning("rows_not_sent_again", rows=rows, text=str(error))
        return False
    return True


async def _send_wave(sender: Sender, number: int, wave: Wave, *, at_a_time: int) -> Counter[Kind]:
    """Take all sendings of a wave to their end; the failed rows by kind. Calls go one at a time, jobs beside others."""
    slots = asyncio.Semaphore(at_a_time if wave.way is Way.BULK else 1)
    files = [wave.file] if wave.way is Way.COLLECTIONS else []
    async with local_copies(sender.lake, files, sender.scratch) as rows:

        async def one(portion: int) -> Entry[Send]:
            async with slots:
                return await sender.finish(number, wave, portion, *rows)

        # All are heard out before one's error ends the attempt: what others achieve need not be waited for again.
        ends = await asyncio.gather(*(one(portion) for portion in range(len(wave.sizes))), return_exceptions=True)
    failed: Counter[Kind] = Counter()
    for end in ends:
        if isinstance(end, BaseException):
            raise end
        failed.update(end.value.failed)
    return failed


async def _retry_wave(attempt: Attempt, header: Header, wave: Wave, number: int, following: NextWave) -> Wave:
    """Lay out the rows of `wave` that `following` asks for, as wave `number`."""
    tools, plan = attempt.tools, header.planned
    file = f"{plan.folder}/wave-{number:02d}.parquet"
    with scratch_folder(tools.scratch) as folder:
        local = folder / "rows.parquet"
        async with (
            local_copies(tools.lake, [wave.file], tools.scratch) as (sent,),
            local_copies(tools.lake, outcomes_files(wave), tools.scratch) as said,
        ):
            rows = await asyncio.to_thread(retry_rows, sent, said, following.kinds, local, folder)
        await tools.lake.put_file(local, file)
        return await lay_out(
            tools.lake,
            tools.scratch,
            local,
            file=file,
            rows=rows,
            mapping=plan.mapping,
            rows_per_send=following.rows_per_send,
            collections_below=tools.settings.sf_collections_below,
            first_part=header.next_part,
        )


def _sender(attempt: Attempt, plan: Plan) -> Sender:
    tools, settings = attempt.tools, attempt.tools.settings
    return Sender(
        session=tools.session,
        bulk=attempt.bulk,
        lake=tools.lake,
        ledger=attempt.ledger,
        clock=tools.clock,
        scratch=tools.scratch,
        mapping=plan.mapping,
        patience=Patience(
            first_sec=settings.sf_poll_first_sec,
            max_sec=settings.sf_poll_max_sec,
            total_sec=settings.sf_job_wait_sec,
        ),
        until=tools.clock.monotonic() + settings.sf_job_wait_sec,
    )

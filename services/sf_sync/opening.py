"""Opens a round: what is to be sent is found, weighed against the org's allowances, laid out and recorded."""

import asyncio

import structlog

from libs.common.lake import paths
from services.sf_sync import limits
from services.sf_sync.files import local_copies
from services.sf_sync.ledger import Entry, Header, Plan
from services.sf_sync.planning import check_target, make_plan
from services.sf_sync.source import Source
from services.sf_sync.takeover import take_over
from services.sf_sync.tools import Attempt
from services.sf_sync.waves import lay_out

_log = structlog.get_logger(__name__)


async def open_round(attempt: Attempt, header: Entry[Header], source: Source) -> Entry[Header]:
    """Record the round's plan and first wave; nothing is sent.

    Raises EarlierSyncRunningError, MappingError, SalesforceLimitError, SourceError, and what session and lake raise.
    """
    tools, run, now = attempt.tools, attempt.run, header.value
    await take_over(tools.state, attempt.bulk, tools.clock, run)
    target = await asyncio.to_thread(check_target, tools.session, tools.mapping, source)
    plan = await make_plan(
        tools.lake,
        tools.scratch,
        source,
        target,
        week=run.week,
        rank=attempt.rank(now),
        # Of this attempt alone: another worker that plans at the same time must not change what this one records.
        folder=f"{paths.run_sync_dir(run.run_id)}/round-{now.round:03d}-{attempt.number:03d}",
        full=attempt.full and now.round == 0,
    )
    _log.info("sync_planned", rows=plan.rows, changes=plan.changes, invalid=plan.invalid)
    if not plan.changes:
        return await attempt.ledger.plan_waves(header, plan, [])
    await _require_room(attempt, plan)
    async with local_copies(tools.lake, [plan.changes_file], tools.scratch) as (local,):
        first = await lay_out(
            tools.lake,
            tools.scratch,
            local,
            file=plan.changes_file,
            rows=plan.changes,
            mapping=plan.mapping,
            rows_per_send=tools.settings.sf_job_max_rows,
            collections_below=tools.settings.sf_collections_below,
            first_part=now.next_part,
        )
    return await attempt.ledger.plan_waves(header, plan, [first])


async def _require_room(attempt: Attempt, plan: Plan) -> None:
    settings = attempt.tools.settings
    cost = limits.estimate(
        plan.changes, job_max_rows=settings.sf_job_max_rows, collections_below=settings.sf_collections_below
    )
    found = await asyncio.to_thread(attempt.tools.session.limits)
    limits.require_room(found, cost, settings.sf_limit_reserve_pct)

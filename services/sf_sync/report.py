"""The end of a round as the operator sees it: one row in `sync_runs`, the stage's details, a verdict."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import structlog

from libs.common import synclog
from services.sf_sync.accounting import run_row, write_table
from services.sf_sync.errors import TooManyRejectedError
from services.sf_sync.files import scratch_folder
from services.sf_sync.ledger import Header
from services.sf_sync.tools import Attempt
from services.sf_sync.verdict import judge

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a sync ended well enough."""

    rows_accepted: int
    rows_failed: int
    details: dict[str, Any]
    """For the stage row: the five counts, what it cost, and the reasons of what failed."""


async def report(attempt: Attempt, header: Header) -> Report:
    """Log the round's counts, then judge them. Raises TooManyRejectedError, and LakeError."""
    result = header.ended
    counts = result.counts
    refusal: TooManyRejectedError | None = None
    try:
        warning = judge(counts, result.top, attempt.tools.settings.sf_max_error_rate_pct)
    except TooManyRejectedError as error:
        refusal, warning = error, str(error)
    await _log_run(attempt, header, warning)
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
        "absent": header.planned.absent,
        "retried": result.retried,
        "jobs": result.jobs,
        "api_calls": result.api_calls,
        "bulk_batches": result.bulk_batches,
        "warning": warning,
        "top_codes": {each.code: each.rows for each in result.top},
    }
    return Report(rows_accepted=created + updated, rows_failed=counts.failed + counts.invalid, details=details)


async def _log_run(attempt: Attempt, header: Header, warning: str | None) -> None:
    tools, run = attempt.tools, attempt.run
    table = run_row(
        header.planned, header.ended, run.week, run_id=run.run_id, round_number=header.round, warning=warning
    )
    with scratch_folder(tools.scratch) as folder:
        local = folder / "run.parquet"
        await asyncio.to_thread(write_table, table, local)
        await tools.lake.put_file(local, synclog.runs_file(run.week, attempt.rank(header)))

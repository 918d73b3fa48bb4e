"""The org's daily allowances: what a round will cost, and whether enough is left for others. Pure."""

import math
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from services.sf_sync.bulk import BATCH_ROWS
from services.sf_sync.composite import MAX_ROWS, is_cheaper
from services.sf_sync.errors import SalesforceLimitError

API_CALLS: Final = "DailyApiRequests"
BULK_BATCHES: Final = "DailyBulkApiBatches"
_CALLS_A_JOB: Final = 6  # create, upload, close, three result sets
_LOOKS_A_JOB: Final = 20


@dataclass(frozen=True, slots=True)
class Cost:
    """What a round takes out of the daily allowances."""

    api_calls: int
    bulk_batches: int


def estimate(rows: int, *, job_max_rows: int, collections_below: int) -> Cost:
    """The cost of sending so many rows once; looks at jobs are guessed, retries left out."""
    if is_cheaper(rows, rows_per_send=job_max_rows, below=collections_below):
        return Cost(math.ceil(rows / min(job_max_rows, MAX_ROWS)), 0)
    jobs = math.ceil(rows / job_max_rows)
    return Cost(
        jobs * (_CALLS_A_JOB + _LOOKS_A_JOB),
        batches(job_max_rows) * (jobs - 1) + batches(rows - job_max_rows * (jobs - 1)),
    )


def batches(rows: int) -> int:
    """Internal batches that Salesforce makes of a job's rows."""
    return math.ceil(rows / BATCH_ROWS)


def require_room(limits: Dict[str, Dict[str, int]], cost: Cost, reserve_pct: Decimal) -> None:
    """Raise SalesforceLimitError if after `cost` less than the reserve would remain of an allowance.

    An allowance that the org does not report, or that is 0 at most, limits nothing.
    """
    for allowance, needed in ((API_CALLS, cost.api_calls), (BULK_BATCHES, cost.bulk_batches)):
        limit = limits.get(allowance)
        if not limit or not limit["Max"] or not needed:
            continue
        reserve = limit["Max"] * reserve_pct / 100
        if limit["Remaining"] - needed < reserve:
            raise SalesforceLimitError(
                f"{allowance}: {limit['Remaining']} of {limit['Max']} remain, this sync needs about {needed} and "
                f"{reserve_pct} % ({reserve:.0f}) are kept for others."
            )

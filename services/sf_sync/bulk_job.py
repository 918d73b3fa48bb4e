"""The life of one recorded Bulk 2.0 job: handed over once, read to the last row. Blocks: call it in a thread."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.sf_sync.bulk import BulkClient, JobState, ResultSet
from services.sf_sync.errors import SyncTakenOverError
from services.sf_sync.outcomes import UNPROCESSED, parse_error


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of one row, found by its external id. `code` None: accepted."""

    external_id: str
    created: bool = False
    code: str | None = None
    message: str = ""


def hand_over(bulk: BulkClient, job_id: str, data: Path) -> None:
    """Upload the rows and close the job, unless that was done: an open job has taken nothing for good."""
    if bulk.get(job_id).state is JobState.OPEN:
        bulk.upload(job_id, data)
        bulk.close(job_id)


def has_ended(bulk: BulkClient, job_id: str) -> bool:
    """Whether there are results. Raises SyncTakenOverError if somebody aborted the job."""
    job = bulk.get(job_id)
    if job.state is JobState.ABORTED:
        raise SyncTakenOverError(f"Job {job_id} was aborted in Salesforce.")
    return job.state.is_ended


def outcomes(bulk: BulkClient, job_id: str, external_id: str, folder: Path) -> Iterator[RowOutcome]:
    """Every row's outcome, from the three result sets of an ended job."""
    for row in _rows(bulk, job_id, ResultSet.SUCCESSFUL, folder):
        yield RowOutcome(row[external_id], created=row["sf__Created"] == "true")
    for row in _rows(bulk, job_id, ResultSet.FAILED, folder):
        error = parse_error(row["sf__Error"])
        yield RowOutcome(row[external_id], code=error.code, message=error.message)
    for row in _rows(bulk, job_id, ResultSet.UNPROCESSED, folder):
        yield RowOutcome(row[external_id], code=UNPROCESSED.code, message=UNPROCESSED.message)


def _rows(bulk: BulkClient, job_id: str, which: ResultSet, folder: Path) -> Iterator[dict[str, str]]:
    for page in bulk.results(job_id, which, folder):
        with page.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
        page.unlink()

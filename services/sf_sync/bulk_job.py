"""One Bulk API 2.0 ingest job, from its creation to its results. Blocks: call it in a thread.

The library's own bulk client aborts a live job on one failed poll and loses its id, so the life of a job is ours: the
caller records the id before anything is uploaded, and whoever finds a recorded id goes on with that job.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.sf_sync.errors import JobRejectedError
from services.sf_sync.mapping import ResolvedMapping
from services.sf_sync.outcomes import UNPROCESSED, parse_error
from services.sf_sync.session import SalesforceSession

ENDED: Final = frozenset({"JobComplete", "Failed", "Aborted"})


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of one row, found by its external id. `code` None: accepted."""

    external_id: str
    created: bool = False
    code: str | None = None
    message: str = ""


def create(session: SalesforceSession, mapping: ResolvedMapping) -> str:
    """Open an upsert job; its id."""
    answer = session.request(
        "POST",
        "jobs/ingest",
        json={
            "object": mapping.object,
            "operation": "upsert",
            "externalIdFieldName": mapping.external_id,
            "contentType": "CSV",
            "lineEnding": "CRLF",
            "columnDelimiter": "COMMA",
        },
    )
    return str(answer.json()["id"])


def hand_over(session: SalesforceSession, job_id: str, data: Path) -> None:
    """Upload the rows and close the job, unless that was done: an open job has taken nothing for good."""
    if state(session, job_id) != "Open":
        return
    session.request(
        "PUT",
        f"jobs/ingest/{job_id}/batches",
        data=lambda: data.open("rb"),
        headers={"Content-Type": "text/csv; charset=UTF-8"},
    )
    session.request("PATCH", f"jobs/ingest/{job_id}", json={"state": "UploadComplete"})


def state(session: SalesforceSession, job_id: str) -> str:
    """Where the job stands. Raises JobRejectedError if somebody aborted it."""
    found = session.request("GET", f"jobs/ingest/{job_id}").json()
    if found["state"] == "Aborted":
        raise JobRejectedError(f"Job {job_id} was aborted in Salesforce.")
    return str(found["state"])


def outcomes(session: SalesforceSession, job_id: str, mapping: ResolvedMapping) -> Iterator[RowOutcome]:
    """Every row's outcome from the three result sets of an ended job."""
    for row in _rows(session, job_id, "successfulResults"):
        yield RowOutcome(row[mapping.external_id], created=row["sf__Created"] == "true")
    for row in _rows(session, job_id, "failedResults"):
        error = parse_error(row["sf__Error"])
        yield RowOutcome(row[mapping.external_id], code=error.code, message=error.message)
    for row in _rows(session, job_id, "unprocessedrecords"):
        yield RowOutcome(row[mapping.external_id], code=UNPROCESSED.code, message=UNPROCESSED.message)


def _rows(session: SalesforceSession, job_id: str, kind: str) -> Iterator[dict[str, str]]:
    answer = session.request("GET", f"jobs/ingest/{job_id}/{kind}/", stream=True)
    try:
        answer.raw.decode_content = True
        yield from csv.DictReader(io.TextIOWrapper(answer.raw, encoding="utf-8", newline=""))
    finally:
        answer.close()

"""Bulk API 2.0 ingest on a Salesforce session: one method a call, nothing remembered, nothing repeated.

The library's own `bulk2` aborts a running job when one poll fails and loses the job's id; here the caller records the
id before anything is uploaded and decides what an unanswered call means. Every method blocks and raises what
`SalesforceSession` raises.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from services.sf_sync.session import SalesforceSession

BATCH_ROWS: Final = 10_000
"""Rows that Salesforce puts into one internal batch, which is what the daily batch allowance counts."""


class JobState(StrEnum):
    """Life of a job, in Salesforce's words."""

    OPEN = "Open"
    UPLOAD_COMPLETE = "UploadComplete"
    IN_PROGRESS = "InProgress"
    JOB_COMPLETE = "JobComplete"
    FAILED = "Failed"
    ABORTED = "Aborted"

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens to its rows."""
        return self in {JobState.JOB_COMPLETE, JobState.FAILED, JobState.ABORTED}


class ResultSet(StrEnum):
    """The three in which every row of an ended job is found once."""

    SUCCESSFUL = "successfulResults"
    FAILED = "failedResults"
    UNPROCESSED = "unprocessedrecords"


@dataclass(frozen=True, slots=True)
class Job:
    """What Salesforce says about a job."""

    job_id: str
    state: JobState
    error_message: str = ""


class BulkClient:
    """The calls of an ingest job."""

    def __init__(self, session: SalesforceSession) -> None:
        self._session = session

    def create(self, sobject: str, external_id: str) -> Job:
        """Open an upsert job for CSV with CRLF and commas."""
        body = {
            "object": sobject,
            "operation": "upsert",
            "externalIdFieldName": external_id,
            "contentType": "CSV",
            "lineEnding": "CRLF",
            "columnDelimiter": "COMMA",
        }
        return _job(self._session.request("POST", "jobs/ingest", json=body).json())

    def upload(self, job_id: str, csv: Path) -> None:
        """Stream the file to an open job that has no data yet; Salesforce takes it once."""
        headers = {"Content-Type": "text/csv; charset=UTF-8"}
        self._session.request("PUT", f"jobs/ingest/{job_id}/batches", body=csv, headers=headers)

    def close(self, job_id: str) -> Job:
        """Hand the job over: from here on Salesforce works on its rows."""
        return self._set_state(job_id, JobState.UPLOAD_COMPLETE)

    def abort(self, job_id: str) -> Job:
        """Give up a job. Only ever called for one that is Open, whose rows Salesforce has not begun to work on."""
        return self._set_state(job_id, JobState.ABORTED)

    def get(self, job_id: str) -> Job:
        """How the job stands."""
        return _job(self._session.request("GET", f"jobs/ingest/{job_id}").json())

    def results(self, job_id: str, which: ResultSet, folder: Path) -> list[Path]:
        """Download one result set of an ended job as CSV files, each with a header (or empty), in order."""
        pages: list[Path] = []
        locator: str | None = None
        while True:
            page = folder / f"{which}-{len(pages):05d}.csv"
            params = {"locator": locator} if locator else {}
            headers = self._session.download(f"jobs/ingest/{job_id}/{which}", page, params=params)
            pages.append(page)
            locator = headers.get("Sforce-Locator")
            if not locator or locator == "null":
                return pages

    def _set_state(self, job_id: str, state: JobState) -> Job:
        return _job(self._session.request("PATCH", f"jobs/ingest/{job_id}", json={"state": state.value}).json())


def _job(body: dict[str, Any]) -> Job:
    return Job(body["id"], JobState(body["state"]), body.get("errorMessage") or "")

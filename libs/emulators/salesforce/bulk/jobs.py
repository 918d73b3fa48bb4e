"""The bulk jobs of the org: their life from Open to an end, kept in the database."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.emulators.salesforce.database import DEFAULT_USER_ID, Database
from libs.emulators.salesforce.errors import ApiError, not_found
from libs.emulators.salesforce.ids import IdCodec

OPEN, UPLOAD_COMPLETE, IN_PROGRESS = "Open", "UploadComplete", "InProgress"
JOB_COMPLETE, FAILED, ABORTED = "JobComplete", "Failed", "Aborted"
ENDED = (JOB_COMPLETE, FAILED, ABORTED)
RUNNING = (UPLOAD_COMPLETE, IN_PROGRESS)

_COLUMNS = (
    "id, operation, object, external_id_field, line_ending, column_delimiter, api_version, state, created_at, "
    "modified_at, upload_bytes, next_offset, processed, failed, error_message, processing_ms"
)


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the job table. ``next_offset`` is the byte of the upload up to which batches are applied."""

    id: str
    operation: str
    object: str
    external_id_field: str | None
    line_ending: str
    column_delimiter: str
    api_version: str
    state: str
    created_at: str
    modified_at: str
    upload_bytes: int | None
    next_offset: int
    processed: int
    failed: int
    error_message: str | None
    processing_ms: int

    def rendered(self, *, details: bool = False) -> dict[str, Any]:
        """Render as the job resource; ``details`` adds what only a GET of the job shows."""
        body: dict[str, Any] = {
            "id": self.id,
            "operation": self.operation,
            "object": self.object,
            "createdById": DEFAULT_USER_ID,
            "createdDate": self.created_at,
            "systemModstamp": self.modified_at,
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.api_version),
            "lineEnding": self.line_ending,
            "columnDelimiter": self.column_delimiter,
        }
        if self.external_id_field is not None:
            body["externalIdFieldName"] = self.external_id_field
        if self.state == OPEN:
            body["contentUrl"] = f"services/data/v{self.api_version}/jobs/ingest/{self.id}/batches"
        if details:
            body |= {
                "jobType": "V2Ingest",
                "retries": 0,
                "totalProcessingTime": self.processing_ms,
                "apiActiveProcessingTime": self.processing_ms,
                "apexProcessingTime": 0,
                "numberRecordsProcessed": self.processed,
                "numberRecordsFailed": self.failed,
            }
            if self.error_message is not None:
                body["errorMessage"] = self.error_message
        return body


class JobStore:
    """Reads and changes jobs; every change is one transaction. Changes run on the writer thread only."""

    def __init__(self, database: Database, upload_folder: Path) -> None:
        self._database = database
        self._folder = upload_folder
        self._ids = IdCodec("750")

    def upload_path(self, job_id: str) -> Path:
        """Where the uploaded CSV of a job lies."""
        return self._folder / f"{job_id}.csv"

    def create(self, now: str, **values: str | None) -> Job:
        """Open a job and give it an id."""
        with self._database.writing() as connection:
            newest = connection.execute("SELECT COALESCE(MAX(seq), 0) FROM job").fetchone()
            job_id = self._ids.encode(int(newest[0]) + 1)
            row = {
                "seq": int(newest[0]) + 1,
                "id": job_id,
                "state": OPEN,
                "created_at": now,
                "modified_at": now,
                **values,
            }
            columns = ", ".join(row)
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO job ({columns}) VALUES ({marks})", list(row.values()))
            return self._get(connection, job_id)

    def get(self, job_id: str) -> Job:
        """Return the job. Raises ApiError 404 if there is none."""
        with self._database.reading() as connection:
            return self._get(connection, job_id)

    def page(self, after: int, size: int) -> list[tuple[int, Job]]:
        """List jobs from the oldest, each with its sequence number, starting after one."""
        sql = f"SELECT seq, {_COLUMNS} FROM job WHERE seq > ? ORDER BY seq LIMIT ?"
        with self._database.reading() as connection:
            return [(row[0], Job(*row[1:])) for row in connection.execute(sql, (after, size))]

    def in_states(self, states: tuple[str, ...]) -> list[Job]:
        """List the jobs in any of these states."""
        marks = ", ".join("?" * len(states))
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM job WHERE state IN ({marks}) ORDER BY seq", states)
            return [Job(*row) for row in rows]

    def uploaded(self, job_id: str, size: int, now: str) -> None:
        """Record that the whole CSV has arrived. Raises ApiError if the job does not wait for data (any more)."""
        with self._database.writing() as connection:
            self.require_open_for_upload(self._get(connection, job_id))
            self._set(connection, job_id, now, upload_bytes=size)

    def require_open_for_upload(self, job: Job) -> None:
        """Raise ApiError unless the job is Open and has no data yet."""
        if job.state != OPEN:
            raise ApiError(
                400, "INVALIDJOBSTATE", f"Job is not Open for data: its state is {job.state}. Create another job."
            )
        if job.upload_bytes is not None:
            raise ApiError(400, "INVALIDJOBSTATE", "Data was already uploaded for this job. Create another job.")

    def change_state(self, job_id: str, state: str, now: str) -> Job:
        """Close (UploadComplete) or abort a job. Raises ApiError where Salesforce refuses the step."""
        with self._database.writing() as connection:
            job = self._get(connection, job_id)
            if state not in (UPLOAD_COMPLETE, ABORTED):
                raise ApiError(400, "INVALIDJOBSTATE", f"Invalid job state: {state}. Use UploadComplete or Aborted.")
            if job.state in ENDED:
                verb = "Aborting" if state == ABORTED else "Closing"
                raise ApiError(400, "INVALIDJOBSTATE", f"{verb} already {_past(job.state)} Job not allowed")
            if state == UPLOAD_COMPLETE and job.state != OPEN:
                raise ApiError(400, "INVALIDJOBSTATE", f"Job is already {job.state}")
            if state == UPLOAD_COMPLETE and job.upload_bytes is None:
                raise ApiError(400, "INVALIDJOBSTATE", "No data was uploaded for this job")
            self._set(connection, job_id, now, state=state)
            return self._get(connection, job_id)

    def advance(self, job_id: str, state: str, now: str, *, error: str | None = None) -> bool:
        """Move a running job on; False if it was aborted or deleted meanwhile."""
        with self._database.writing() as connection:
            if self.is_running(connection, job_id):
                self._set(connection, job_id, now, state=state, error_message=error)
                return True
            return False

    def is_running(self, connection: sqlite3.Connection, job_id: str) -> bool:
        """Whether the job may still apply rows, as this transaction sees it."""
        row = connection.execute("SELECT state FROM job WHERE id = ?", (job_id,)).fetchone()
        return row is not None and row[0] in RUNNING

    def delete(self, job_id: str) -> None:
        """Forget a job, its data and results. Raises ApiError unless it has ended."""
        with self._database.writing() as connection:
            job = self._get(connection, job_id)
            if job.state not in ENDED:
                raise ApiError(400, "INVALIDJOBSTATE", f"A job that is {job.state} cannot be deleted; abort it first")
            connection.execute("DELETE FROM batch WHERE job_id = ?", (job_id,))
            connection.execute("DELETE FROM job WHERE id = ?", (job_id,))
        self.upload_path(job_id).unlink(missing_ok=True)

    def _get(self, connection: sqlite3.Connection, job_id: str) -> Job:
        row = connection.execute(f"SELECT {_COLUMNS} FROM job WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise not_found()
        return Job(*row)

    def _set(self, connection: sqlite3.Connection, job_id: str, now: str, **values: str | int | None) -> None:
        assignments = ", ".join(f"{name} = ?" for name in values)
        connection.execute(
            f"UPDATE job SET {assignments}, modified_at = ? WHERE id = ?", [*values.values(), now, job_id]
        )


def _past(state: str) -> str:
    return {JOB_COMPLETE: "Completed"}.get(state, state)

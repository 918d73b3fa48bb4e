"""Applies the uploaded rows of a job: one transaction a batch, holding records, outcomes and progress together.

So a process that is killed anywhere resumes at the first batch that is not in the database, and applies no row
twice.
"""

from __future__ import annotations

import sqlite3
import time
from array import array
from collections.abc import Callable

import msgspec

from libs.emulators.salesforce.bulk.csv_records import CsvBatch, CsvRecords
from libs.emulators.salesforce.bulk.jobs import Job, JobStore
from libs.emulators.salesforce.database import Database
from libs.emulators.salesforce.errors import JobFailure, RowFailure, RowRefused
from libs.emulators.salesforce.faults import FaultBoard
from libs.emulators.salesforce.records import Changes, Incoming, Operation, Outcome, RecordWriter, Saved
from libs.emulators.salesforce.schema import Field, SObject
from libs.emulators.salesforce.values import NULL_MARKER, Converter, from_csv

BATCH_ROWS = 10_000
"""Bulk API 2.0 cuts an upload into batches of 10,000 records."""


class JobProcessor:
    """Processes one job batch by batch; everything here blocks and belongs on the writer thread."""

    def __init__(
        self,
        job: Job,
        one: SObject,
        *,
        database: Database,
        jobs: JobStore,
        faults: FaultBoard,
        now: Callable[[], str],
    ) -> None:
        self._job_id = job.id
        self._operation: Operation = job.operation  # type: ignore[assignment] # checked when the job was created
        self._object = one
        self._match = one.field(job.external_id_field or "Id")
        self._database = database
        self._jobs = jobs
        self._faults = faults
        self._now = now
        self._csv = CsvRecords(
            jobs.upload_path(job.id), column_delimiter=job.column_delimiter, line_ending=job.line_ending
        )
        self._columns = [self._column(position, name) for position, name in enumerate(self._csv.header)]

    def process_batch(self, offset: int, max_rows: int) -> tuple[int, int]:
        """Apply the next rows from byte ``offset`` (0 is the start of the file).

        Returns the rows applied and the offset after them; no rows means that the file is done or the job was
        aborted. Raises JobFailure if the data cannot be read; no row of this batch is applied then.
        """
        started = time.perf_counter()
        batch = self._csv.batch(offset or self._csv.first_record, max_rows)
        if not batch.rows:
            return 0, batch.end
        incoming = [self._convert(row) for row in batch.rows]
        with self._database.writing() as connection:
            if not self._jobs.is_running(connection, self._job_id):
                return 0, offset
            failure = self._faults.batch_failure(len(incoming))
            outcomes: list[Outcome]
            if failure is None:
                writer = RecordWriter(
                    connection, self._object, self._operation, match=self._match, faults=self._faults, now=self._now()
                )
                outcomes = writer.save(incoming)
            else:
                outcomes = [failure] * len(incoming)
            spent_ms = int((time.perf_counter() - started) * 1000)
            self._record(connection, batch, outcomes, spent_ms)
        return len(outcomes), batch.end

    def _column(self, position: int, name: str) -> tuple[Field, Converter]:
        field = self._object.field(name.strip())
        if field is None:
            raise JobFailure(f"InvalidBatch : Field name not found : {name}")
        return field, from_csv(field, position, self._object.ids)

    def _convert(self, row: list[str]) -> Incoming:
        changes: Changes = {}
        failure: RowFailure | None = None
        for (field, convert), cell in zip(self._columns, row, strict=True):
            if not cell:
                continue
            try:
                changes[field.name] = None if cell == NULL_MARKER else convert(cell)
            except RowRefused as refused:
                # the other cells are still read: the row's external id is wanted with its outcome
                failure = failure or refused.failure
        return Incoming(changes, failure)

    def _record(self, connection: sqlite3.Connection, batch: CsvBatch, outcomes: list[Outcome], spent_ms: int) -> None:
        saved = array("q", [o.sequence * 2 + o.created if isinstance(o, Saved) else 0 for o in outcomes])
        failures = [(index, str(o)) for index, o in enumerate(outcomes) if isinstance(o, RowFailure)]
        connection.execute(
            "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)",
            (self._job_id, batch.start, batch.end, saved.tobytes(), msgspec.json.encode(failures), len(failures)),
        )
        connection.execute(
            "UPDATE job SET next_offset = ?, processed = processed + ?, failed = failed + ?, "
            "processing_ms = processing_ms + ?, modified_at = ? WHERE id = ?",
            (batch.end, len(outcomes), len(failures), spent_ms, self._now(), self._job_id),
        )

"""The three result sets of a job, streamed: the stored outcomes are joined with the uploaded rows batch by batch."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from libs.emulators.salesforce.bulk.csv_records import DELIMITERS, LINE_ENDINGS, CsvRecords
from libs.emulators.salesforce.bulk.jobs import JOB_COMPLETE, Job, JobStore
from libs.emulators.salesforce.database import Database
from libs.emulators.salesforce.errors import JobFailure
from libs.emulators.salesforce.schema import SObject

_COPY_BYTES = 1 << 20
ResultSet = Literal["successfulResults", "failedResults", "unprocessedrecords"]


def result_chunks(job: Job, one: SObject, which: ResultSet, *, database: Database, jobs: JobStore) -> Iterator[bytes]:
    """Yield the CSV of one result set, header first, about one batch at a time.

    All values are quoted, in the job's own delimiter and line ending; the original columns keep their names and order.
    """
    path = jobs.upload_path(job.id)
    try:
        records = CsvRecords(path, column_delimiter=job.column_delimiter, line_ending=job.line_ending)
    except (JobFailure, OSError):
        # nothing was readable, so nothing was processed; Salesforce gives back the data as it came
        if which == "unprocessedrecords" and path.exists():
            yield path.read_bytes()
        return
    extra = {"successfulResults": ["sf__Id", "sf__Created"], "failedResults": ["sf__Id", "sf__Error"]}.get(which, [])
    yield _lines(job, [[*extra, *records.header]])
    if which == "unprocessedrecords" and job.state == JOB_COMPLETE:
        return
    if which == "unprocessedrecords":
        yield from _unprocessed(job, records, path)
        return
    wanted = "failed > 0" if which == "failedResults" else "failed < LENGTH(saved) / 8"
    sql = f"SELECT first_offset, saved, failures FROM batch WHERE job_id = ? AND {wanted} ORDER BY first_offset"
    with database.reading() as connection:
        for first_offset, saved, failures in connection.execute(sql, (job.id,)):
            outcomes = array("q", saved)
            rows = records.batch(first_offset, len(outcomes)).rows
            if which == "failedResults":
                errors = msgspec.json.decode(failures, type=list[tuple[int, str]])
                yield _lines(job, [["", error, *rows[index]] for index, error in errors])
            else:
                encode = one.ids.encode
                yield _lines(
                    job,
                    [
                        [encode(outcome >> 1), "true" if outcome & 1 else "false", *row]
                        for outcome, row in zip(outcomes, rows, strict=True)
                        if outcome
                    ],
                )


def altered(job: Job, chunks: Iterator[bytes], alter: Callable[[list[list[str]]], list[list[str]]]) -> bytes:
    """The whole CSV with its rows (the header apart) put through ``alter``; for faults, so memory is no matter."""
    text = io.StringIO(b"".join(chunks).decode(), newline="")
    header, *rows = csv.reader(text, delimiter=DELIMITERS[job.column_delimiter])
    return _lines(job, [header, *alter(rows)])


def _unprocessed(job: Job, records: CsvRecords, path: Path) -> Iterator[bytes]:
    """The rest of the upload as it came; it may be what could not be read."""
    with path.open("rb") as file:
        file.seek(job.next_offset or records.first_record)
        while chunk := file.read(_COPY_BYTES):
            yield chunk


def _lines(job: Job, rows: list[list[str]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(
        buffer,
        delimiter=DELIMITERS[job.column_delimiter],
        lineterminator=LINE_ENDINGS[job.line_ending],
        quoting=csv.QUOTE_ALL,
    )
    writer.writerows(rows)
    return buffer.getvalue().encode()

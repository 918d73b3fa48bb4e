"""A job without the network: processing, resuming and its three result sets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs.emulators.salesforce.bulk.jobs import FAILED, IN_PROGRESS, JOB_COMPLETE, UPLOAD_COMPLETE, Job, JobStore
from libs.emulators.salesforce.bulk.processing import JobProcessor
from libs.emulators.salesforce.bulk.results import ResultSet, result_chunks
from libs.emulators.salesforce.errors import ApiError, JobFailure
from libs.emulators.salesforce.faults import BatchRefused

NOW = "2026-01-05T06:00:00.000+0000"
HEADER = "External_Signal_Id__c,External_Customer_Id__c,Week_Start__c,Week_End__c,Orders_Week__c,Top_Brand__c"
Start = Callable[..., Job]


def row(key: str, orders: str = "1", brand: str = "acme") -> str:
    return f"{key},{key},2019-10-07,2019-10-13,{orders},{brand}"


@pytest.fixture
def jobs(org: Any, tmp_path: Path) -> JobStore:
    return JobStore(org.database, tmp_path)


@pytest.fixture
def start(jobs: JobStore) -> Start:
    def make(*lines: str, operation: str = "upsert") -> Job:
        job = jobs.create(
            NOW,
            object="Customer_Weekly_Metric__c",
            operation=operation,
            external_id_field={"upsert": "External_Signal_Id__c"}.get(operation),
            line_ending="LF",
            column_delimiter="COMMA",
            api_version="59.0",
        )
        data = "".join(line + "\n" for line in lines).encode()
        jobs.upload_path(job.id).write_bytes(data)
        jobs.uploaded(job.id, len(data), NOW)
        return jobs.change_state(job.id, UPLOAD_COMPLETE, NOW)

    return make


def processor(org: Any, jobs: JobStore, job: Job) -> JobProcessor:
    return JobProcessor(job, org.metric, database=org.database, jobs=jobs, faults=org.faults, now=lambda: NOW)


def run(org: Any, jobs: JobStore, job: Job, batch_rows: int = 10) -> Job:
    work = processor(org, jobs, job)
    offset = job.next_offset
    rows = 1
    while rows:
        rows, offset = work.process_batch(offset, batch_rows)
    jobs.advance(job.id, JOB_COMPLETE, NOW)
    return jobs.get(job.id)


def results(org: Any, jobs: JobStore, job: Job, which: ResultSet) -> list[dict[str, str]]:
    content = b"".join(result_chunks(job, org.metric, which, database=org.database, jobs=jobs)).decode()
    return list(csv.DictReader(io.StringIO(content, newline="")))


def test_the_sets_of_results_hold_every_row_once_with_its_columns(org: Any, jobs: JobStore, start: Start) -> None:
    job = run(org, jobs, start(HEADER, row("a"), row("b", orders="x"), row("c"), row("a", "2")), batch_rows=3)
    saved = results(org, jobs, job, "successfulResults")
    failed = results(org, jobs, job, "failedResults")
    assert (job.processed, job.failed) == (4, 1)
    assert [(one["External_Signal_Id__c"], one["sf__Created"], one["Orders_Week__c"]) for one in saved] == [
        ("a", "true", "1"),
        ("c", "true", "1"),
        ("a", "false", "2"),
    ]
    assert saved[0]["sf__Id"] == saved[2]["sf__Id"] == org.metric.ids.encode(1)
    assert list(failed[0]) == ["sf__Id", "sf__Error", *HEADER.split(",")]
    assert failed[0]["sf__Error"].startswith("INVALID_FIELD:Failed to deserialize field at col 4. Due to, 'x' is not")
    assert results(org, jobs, job, "unprocessedrecords") == []


def test_an_empty_cell_keeps_and_the_null_marker_clears(org: Any, jobs: JobStore, start: Start) -> None:
    run(org, jobs, start(HEADER, row("a"), row("b")))
    run(org, jobs, start("external_signal_id__c,ORDERS_WEEK__C,Top_Brand__c", "a,,#N/A", "b,5,"))
    records = org.query("SELECT Orders_Week__c, Top_Brand__c FROM Customer_Weekly_Metric__c ORDER BY Id")
    assert [(bytes(one["Orders_Week__c"]), one["Top_Brand__c"]) for one in records] == [
        (b"1.0", None),
        (b"5.0", "acme"),
    ]


def test_a_job_that_was_killed_goes_on_behind_its_last_batch(org: Any, jobs: JobStore, start: Start) -> None:
    job = start(HEADER, *[row(str(number)) for number in range(10)])
    processor(org, jobs, job).process_batch(0, 4)
    ended = run(org, jobs, jobs.get(job.id), batch_rows=4)
    assert (ended.processed, ended.failed) == (10, 0)
    assert [one["External_Signal_Id__c"] for one in results(org, jobs, ended, "successfulResults")] == list(
        "0123456789"
    )
    assert org.database.writer.execute("SELECT MAX(times), COUNT(*) FROM attempt").fetchone() == (1, 10)


def test_rows_behind_the_failure_of_a_job_are_unprocessed(org: Any, jobs: JobStore, start: Start) -> None:
    job = start(HEADER, row("a"), row("b"), row("c"))
    processor(org, jobs, job).process_batch(0, 1)
    jobs.advance(job.id, FAILED, NOW, error="broken")
    ended = jobs.get(job.id)
    assert [one["External_Signal_Id__c"] for one in results(org, jobs, ended, "unprocessedrecords")] == ["b", "c"]
    assert ended.rendered(details=True)["errorMessage"] == "broken"
    assert len(results(org, jobs, ended, "successfulResults")) == 1


def test_an_aborted_job_applies_no_further_row(org: Any, jobs: JobStore, start: Start) -> None:
    job = start(HEADER, row("a"), row("b"))
    work = processor(org, jobs, job)
    _, offset = work.process_batch(0, 1)
    jobs.change_state(job.id, "Aborted", NOW)
    assert work.process_batch(offset, 1) == (0, offset)
    assert not jobs.advance(job.id, JOB_COMPLETE, NOW)
    assert org.count("SELECT COUNT() FROM Customer_Weekly_Metric__c") == 1


def test_a_limit_of_the_org_refuses_all_rows_of_a_big_batch_only(org: Any, jobs: JobStore, start: Start) -> None:
    org.faults.add([BatchRefused(max_rows=2)])
    job = run(org, jobs, start(HEADER, row("a"), row("b"), row("c"), row("d")), batch_rows=3)
    failed = results(org, jobs, job, "failedResults")
    assert [one["External_Signal_Id__c"] for one in failed] == ["a", "b", "c"]
    assert all("Apex CPU time limit exceeded" in one["sf__Error"] for one in failed)


def test_a_column_that_the_object_lacks_fails_the_job_and_keeps_its_rows(
    org: Any, jobs: JobStore, start: Start
) -> None:
    job = start("External_Signal_Id__c,Nope__c", "a,1")
    with pytest.raises(JobFailure, match="InvalidBatch : Field name not found : Nope__c"):
        processor(org, jobs, job)
    jobs.advance(job.id, FAILED, NOW)
    assert results(org, jobs, jobs.get(job.id), "unprocessedrecords") == [
        {"External_Signal_Id__c": "a", "Nope__c": "1"}
    ]


def test_records_are_deleted_by_id(org: Any, jobs: JobStore, start: Start) -> None:
    run(org, jobs, start(HEADER, row("a"), row("b")))
    job = run(org, jobs, start("Id", org.metric.ids.encode(1), "nonsense", operation="delete"))
    assert (job.processed, job.failed) == (2, 1)
    assert org.count("SELECT COUNT() FROM Customer_Weekly_Metric__c") == 1


def test_a_job_moves_only_forward(jobs: JobStore, start: Start) -> None:
    job = start(HEADER)
    with pytest.raises(ApiError, match="not Open for data"):
        jobs.require_open_for_upload(job)
    with pytest.raises(ApiError, match="already UploadComplete"):
        jobs.change_state(job.id, UPLOAD_COMPLETE, NOW)
    with pytest.raises(ApiError, match="cannot be deleted"):
        jobs.delete(job.id)
    with pytest.raises(ApiError, match="Invalid job state"):
        jobs.change_state(job.id, IN_PROGRESS, NOW)
    jobs.advance(job.id, JOB_COMPLETE, NOW)
    with pytest.raises(ApiError, match="Aborting already Completed Job not allowed"):
        jobs.change_state(job.id, "Aborted", NOW)
    jobs.delete(job.id)
    assert not jobs.upload_path(job.id).exists()
    with pytest.raises(ApiError, match="NOT_FOUND"):
        jobs.get(job.id)

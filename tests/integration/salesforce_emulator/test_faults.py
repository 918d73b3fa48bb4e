from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

OBJECT = "Customer_Weekly_Metric__c"
KEY = "External_Signal_Id__c"
Rows = Callable[..., bytes]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_locked_rows_fail_as_often_as_set_and_are_then_accepted(
    emulator: Any, client: Any, rows: Rows, prefix: str
) -> None:
    emulator.faults({"kind": "row_lock", "external_ids": [f"{prefix}1"], "times": 1})
    first = client.run(rows(3))
    (failed,) = table(client.results(first["id"], "failedResults"))
    assert failed[KEY] == f"{prefix}1"
    assert failed["sf__Error"].startswith("UNABLE_TO_LOCK_ROW:")
    assert client.run(rows(3))["numberRecordsFailed"] == 0
    assert {key: times for key, times in emulator.attempts(2).items() if key.startswith(prefix)} == {
        f"{prefix}{i}": 2 for i in range(3)
    }


def test_a_row_can_fail_with_any_code_also_in_a_collection(emulator: Any, client: Any, prefix: str) -> None:
    emulator.faults(
        {"kind": "row_error", "external_ids": [f"{prefix}1"], "code": "DUPLICATES_DETECTED", "message": "Use one"}
    )
    records = [{"attributes": {"type": OBJECT}, KEY: f"{prefix}1"}]
    (result,) = client.call("PATCH", f"/composite/sobjects/{OBJECT}/{KEY}", json={"records": records}).json()
    assert result["errors"] == [{"statusCode": "DUPLICATES_DETECTED", "message": "Use one", "fields": []}]


def test_polling_can_be_unavailable_for_a_while(emulator: Any, client: Any, rows: Rows) -> None:
    job = client.run(rows(1))["id"]
    emulator.faults({"kind": "http_error", "call": "job_poll", "status": 503, "times": 2, "retry_after_sec": 1})
    answers = [client.call("GET", f"/jobs/ingest/{job}") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "1"
    assert answers[0].json()[0]["errorCode"] == "SERVER_UNAVAILABLE"


def test_calls_can_be_refused_as_too_many(emulator: Any, client: Any) -> None:
    emulator.faults(
        {"kind": "http_error", "status": 429, "code": "REQUEST_LIMIT_EXCEEDED", "message": "ConcurrentRequests"}
    )
    assert client.call("GET", "/limits").status_code == 429
    assert client.call("GET", "/limits").status_code == 200


@pytest.mark.parametrize(("status", "code"), [(401, "INVALID_SESSION_ID"), (400, "InvalidSessionId")])
def test_a_session_expires_after_some_calls_until_the_next_login(
    emulator: Any, client: Any, status: int, code: str
) -> None:
    emulator.faults({"kind": "session_expired", "after_calls": 1, "status": status})
    answers = [client.call("GET", "/limits") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, status, status]
    assert answers[1].json()[0]["errorCode"] == code
    client.login()
    assert client.call("GET", "/limits").status_code == 200


def test_a_job_fails_half_way_and_its_three_sets_add_up(emulator: Any, client: Any, rows: Rows, prefix: str) -> None:
    emulator.faults({"kind": "job_failed", "after_rows": 4, "message": "InternalServerError : boom"})
    job = client.run(rows(10).replace(f"{prefix}1,c1,2019-10-07".encode(), f"{prefix}1,c1,soon".encode()))
    assert (job["state"], job["errorMessage"]) == ("Failed", "InternalServerError : boom")
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (4, 1)
    sets = [
        [one[KEY] for one in table(client.results(job["id"], which))]
        for which in ("successfulResults", "failedResults", "unprocessedRecords")
    ]
    assert [len(one) for one in sets] == [3, 1, 6]
    assert sorted(itertools.chain(*sets)) == sorted(f"{prefix}{i}" for i in range(10))


def test_a_slow_job_stays_in_progress_and_can_be_aborted(emulator: Any, client: Any, rows: Rows, prefix: str) -> None:
    emulator.faults({"kind": "slow_job", "seconds": 60})
    job = client.create()
    client.upload(job, rows(2))
    client.close(job)
    assert client.wait(job, ("InProgress",))["numberRecordsProcessed"] == 0
    client.call("PATCH", f"/jobs/ingest/{job}", json={"state": "Aborted"})
    assert client.job(job)["state"] == "Aborted"
    assert [one[KEY] for one in table(client.results(job, "unprocessedrecords"))] == [f"{prefix}0", f"{prefix}1"]


def test_a_limit_error_strikes_batches_until_they_are_small_enough(emulator: Any, client: Any, rows: Rows) -> None:
    emulator.faults({"kind": "batch_error", "max_rows": 2})
    job = client.run(rows(3))
    assert job["numberRecordsFailed"] == 3
    (first, *_) = table(client.results(job["id"], "failedResults"))
    assert first["sf__Error"].startswith("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY:")
    assert "Apex CPU time limit exceeded" in first["sf__Error"]
    assert client.run(rows(2))["numberRecordsFailed"] == 0


def test_an_upload_that_is_cut_off_can_be_repeated_for_the_same_job(emulator: Any, client: Any, rows: Rows) -> None:
    emulator.faults({"kind": "dropped_connection", "call": "job_upload", "when": "during", "after_bytes": 10})
    job = client.create()
    with pytest.raises(requests.ConnectionError):
        client.upload(job, rows(20))
    assert client.job(job)["state"] == "Open"
    assert client.upload(job, rows(20)).status_code == 201
    client.close(job)
    assert client.wait(job)["numberRecordsProcessed"] == 20


def test_an_answer_can_be_lost_after_the_work_is_done(emulator: Any, client: Any, rows: Rows) -> None:
    job = client.create()
    client.upload(job, rows(1))
    emulator.faults({"kind": "dropped_connection", "call": "job_state", "when": "after"})
    with pytest.raises(requests.ConnectionError):
        client.close(job)
    assert client.wait(job)["state"] == "JobComplete"


def test_a_connection_can_be_cut_before_the_work_is_done(emulator: Any, client: Any) -> None:
    emulator.faults({"kind": "dropped_connection", "call": "job_create"})
    before = len(client.call("GET", "/jobs/ingest").json()["records"])
    with pytest.raises(requests.ConnectionError):
        client.create()
    assert len(client.call("GET", "/jobs/ingest").json()["records"]) == before


def test_results_can_be_cut_off_while_they_are_read(emulator: Any, client: Any, rows: Rows) -> None:
    job = client.run(rows(200))["id"]
    emulator.faults({"kind": "dropped_connection", "call": "job_results", "when": "during", "after_bytes": 5_000})
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.results(job, "successfulResults")
    assert len(table(client.results(job, "successfulResults"))) == 200


def test_an_answer_can_be_slower_than_the_client_waits(emulator: Any, client: Any) -> None:
    emulator.faults({"kind": "slow_response", "call": "limits", "seconds": 1})
    with pytest.raises(requests.Timeout):
        client.call("GET", "/limits", timeout=0.2)
    assert client.call("GET", "/limits").status_code == 200


def test_faults_are_listed_with_what_is_left_and_cleared(emulator: Any, client: Any) -> None:
    emulator.faults({"kind": "http_error", "call": "limits", "times": 2})
    client.call("GET", "/limits")
    (listed,) = requests.get(f"{emulator.url}/_emulator/faults", timeout=5).json()
    assert (listed["kind"], listed["call"], listed["times"]) == ("http_error", "limits", 1)
    emulator.clear_faults()
    assert requests.get(f"{emulator.url}/_emulator/faults", timeout=5).json() == []


def test_a_fault_that_does_not_exist_is_refused_with_the_reason(emulator: Any) -> None:
    answer = requests.post(f"{emulator.url}/_emulator/faults", json={"kind": "flood"}, timeout=5)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_FAULT")


def test_faults_can_be_set_at_the_start_in_a_file(
    start: Callable[..., Any], connect: Callable[..., Any], tmp_path: Any
) -> None:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps([{"kind": "http_error", "call": "limits"}]))
    client = connect(start("--faults", str(path)).url)
    assert [client.call("GET", "/limits").status_code for _ in range(2)] == [503, 200]

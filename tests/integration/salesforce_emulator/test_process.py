from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]
KEY = "External_Signal_Id__c"


def test_records_jobs_and_sessions_outlive_a_restart(
    start: Start, connect: Callable[..., Any], rows: Callable[..., bytes], tmp_path: Path
) -> None:
    first = start("--data", str(tmp_path))
    client = connect(first.url)
    job = client.run(rows(3))
    assert first.stop() == 0
    second = start("--data", str(tmp_path))
    client.url = second.url
    assert client.job(job["id"]) == job
    assert client.results(job["id"], "successfulResults").count("\n") == 4
    assert len(second.records()) == 3


def test_a_job_in_progress_at_a_kill_is_finished_after_the_restart_and_no_row_is_applied_twice(
    start: Start, connect: Callable[..., Any], rows: Callable[..., bytes], tmp_path: Path
) -> None:
    total = 60_000
    first = start("--data", str(tmp_path))
    client = connect(first.url)
    job = client.create()
    client.upload(job, rows(total))
    client.close(job)
    while client.job(job)["numberRecordsProcessed"] == 0:
        time.sleep(0.005)
    first.kill()
    second = start("--data", str(tmp_path), "--faults", '{"kind": "slow_job", "seconds": 0.5}')
    client.url = second.url
    before = client.job(job)
    assert before["state"] == "InProgress"
    assert before["numberRecordsProcessed"] < total
    done = client.wait(job)
    assert (done["state"], done["numberRecordsProcessed"], done["numberRecordsFailed"]) == ("JobComplete", total, 0)
    stats = second.stats()["objects"]["Customer_Weekly_Metric__c"]
    assert stats == {"records": total, "external_ids": total, "attempts": total, "most_attempts": 1}
    created = client.results(job, "successfulResults").count('"true"')
    assert created == total


def test_an_upload_that_was_cut_by_a_kill_is_not_there_after_the_restart(
    start: Start, connect: Callable[..., Any], rows: Callable[..., bytes], tmp_path: Path
) -> None:
    first = start("--data", str(tmp_path))
    client = connect(first.url)
    job = client.create()
    (tmp_path / "uploads" / f"{job}.1.part").write_bytes(b"half a li")
    first.kill()
    client.url = start("--data", str(tmp_path)).url
    assert list((tmp_path / "uploads").iterdir()) == []
    assert client.upload(job, rows(1)).status_code == 201


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_even_with_a_job_under_way(
    start: Start, connect: Callable[..., Any], rows: Callable[..., bytes], number: int
) -> None:
    process = start("--faults", '{"kind": "slow_job", "seconds": 60}')
    client = connect(process.url)
    job = client.create()
    client.upload(job, rows(1))
    client.close(job)
    client.wait(job, ("InProgress",))
    os.kill(process.process.pid, number)
    assert process.process.wait(10) == 0


def test_an_object_of_ones_own_can_be_served(start: Start, connect: Callable[..., Any], tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(
        '[{"name": "Thing__c", "label": "Thing", "labelPlural": "Things", "keyPrefix": "a01", "fields": '
        '[{"name": "Ext__c", "type": "string", "length": 20, "externalId": true, "unique": true}]}]'
    )
    client = connect(start("--schema", str(schema)).url)
    job = client.run(b"Ext__c,Name\n1,one\n2,two\n", object="Thing__c", externalIdFieldName="Ext__c")
    assert job["numberRecordsFailed"] == 0
    assert client.query("SELECT Name FROM Thing__c ORDER BY Name")["records"][0]["Name"] == "one"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--faults", '{"kind": "flood"}'], "--faults"),
        (["--schema", "nowhere.json"], "nowhere.json"),
        (["--jwt-public-key", "nowhere.pem"], "nowhere.pem"),
        ([], "--port"),
    ],
)
def test_wrong_usage_is_told_on_standard_error_with_status_two(arguments: list[str], complaint: str) -> None:
    port = ["--port", "0"] if arguments else []
    done = subprocess.run(
        [sys.executable, "-m", "libs.emulators.salesforce", *port, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""

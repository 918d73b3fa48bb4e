from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

OBJECT = "Customer_Weekly_Metric__c"
KEY = "External_Signal_Id__c"


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_simple_salesforce_upserts_in_bulk_and_reads_the_results(
    emulator: Any, salesforce: Callable[..., Any], prefix: str
) -> None:
    org = salesforce(emulator.url)
    week = {"Week_Start__c": "2019-10-07", "Week_End__c": "2019-10-13", "External_Customer_Id__c": "c"}
    records = [{KEY: f"{prefix}{i}", "Orders_Week__c": str(i), **week} for i in range(3)]
    records[2]["Orders_Week__c"] = "many"
    (result,) = org.bulk2.Customer_Weekly_Metric__c.upsert(records=records, external_id_field=KEY, wait=0.05)
    assert (result["numberRecordsProcessed"], result["numberRecordsFailed"]) == (3, 1)
    failed = table(org.bulk2.Customer_Weekly_Metric__c.get_failed_records(result["job_id"]))
    assert [one[KEY] for one in failed] == [f"{prefix}2"]
    saved = table(org.bulk2.Customer_Weekly_Metric__c.get_successful_records(result["job_id"]))
    assert {one["sf__Created"] for one in saved} == {"true"}
    record = org.Customer_Weekly_Metric__c.get_by_custom_id(KEY, f"{prefix}1")
    assert record["Id"] in {one["sf__Id"] for one in saved}


def test_a_job_goes_through_its_states_with_its_figures(client: Any, rows: Callable[..., bytes]) -> None:
    job = client.create()
    opened = client.job(job)
    assert opened["state"] == "Open"
    assert opened["contentUrl"] == f"services/data/v59.0/jobs/ingest/{job}/batches"
    assert client.upload(job, rows(3)).status_code == 201
    assert client.close(job).json()["state"] == "UploadComplete"
    done = client.wait(job)
    assert (done["state"], done["numberRecordsProcessed"], done["numberRecordsFailed"]) == ("JobComplete", 3, 0)
    assert (done["object"], done["externalIdFieldName"], done["jobType"]) == (OBJECT, KEY, "V2Ingest")
    assert job in [one["id"] for one in client.call("GET", "/jobs/ingest").json()["records"]]
    assert client.call("DELETE", f"/jobs/ingest/{job}").status_code == 204
    assert client.call("GET", f"/jobs/ingest/{job}").status_code == 404


def test_values_with_line_breaks_quotes_and_foreign_letters_come_back_in_the_results(client: Any, prefix: str) -> None:
    brand = 'Müller, "die\r\nMarke"\nÉ'
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    header = [KEY, "External_Customer_Id__c", "Week_Start__c", "Week_End__c", "Top_Brand__c"]
    writer.writerows([header, [f"{prefix}1", "c", "2019-10-07", "2019-10-13", brand]])
    job = client.run(buffer.getvalue().encode(), lineEnding="CRLF")
    assert job["numberRecordsFailed"] == 0
    (saved,) = table(client.results(job["id"], "successfulResults"))
    assert saved["Top_Brand__c"] == brand
    stored = client.query(f"SELECT Top_Brand__c FROM {OBJECT} WHERE {KEY} = '{prefix}1'")["records"][0]
    assert stored["Top_Brand__c"] == brand


def test_an_upload_may_be_streamed_and_is_cut_into_batches_of_ten_thousand(
    emulator: Any, client: Any, prefix: str
) -> None:
    def pieces() -> Iterator[bytes]:
        yield f"{KEY},External_Customer_Id__c,Week_Start__c,Week_End__c\n".encode()
        for start in range(0, 25_000, 1_000):
            yield "".join(f"{prefix}{i},c,2019-10-07,2019-10-13\n" for i in range(start, start + 1_000)).encode()

    before = emulator.stats()["bulk_batches"]
    job = client.create()
    assert client.upload(job, pieces()).status_code == 201
    client.close(job)
    assert client.wait(job)["numberRecordsProcessed"] == 25_000
    assert emulator.stats()["bulk_batches"] - before == 3


def test_a_second_upload_is_refused(client: Any, rows: Callable[..., bytes]) -> None:
    job = client.create()
    client.upload(job, rows(1))
    answer = client.upload(job, rows(1))
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")


def test_an_open_job_can_be_aborted_and_its_rows_stay_unprocessed(
    client: Any, rows: Callable[..., bytes], prefix: str
) -> None:
    job = client.create()
    client.upload(job, rows(2))
    assert client.call("PATCH", f"/jobs/ingest/{job}", json={"state": "Aborted"}).json()["state"] == "Aborted"
    assert [one[KEY] for one in table(client.results(job, "unprocessedrecords"))] == [f"{prefix}0", f"{prefix}1"]
    assert client.close(job).status_code == 400


def test_results_of_a_job_that_has_not_ended_are_refused(client: Any) -> None:
    answer = client.call("GET", f"/jobs/ingest/{client.create()}/successfulResults")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"object": "Nothing__c"}, "INVALIDENTITY"),
        ({"operation": "merge"}, "INVALIDJOB"),
        ({"externalIdFieldName": None}, "INVALIDJOB"),
        ({"externalIdFieldName": "Top_Brand__c"}, "INVALIDJOB"),
        ({"lineEnding": "CR"}, "INVALIDJOB"),
        ({"columnDelimiter": "DOT"}, "INVALIDJOB"),
        ({"contentType": "XML"}, "INVALIDJOB"),
        ({"object": 5}, "JSON_PARSER_ERROR"),
    ],
)
def test_a_job_that_makes_no_sense_is_not_created(client: Any, changes: dict[str, Any], code: str) -> None:
    body = {"object": OBJECT, "operation": "upsert", "externalIdFieldName": KEY} | changes
    answer = client.call("POST", "/jobs/ingest", json=body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_data_that_cannot_be_read_ends_the_job_as_failed(client: Any, rows: Callable[..., bytes]) -> None:
    job = client.run(rows(2).replace(b"\n", b"\r\n"))
    assert job["state"] == "Failed"
    assert job["errorMessage"].endswith("LineEnding is invalid on user data. Current LineEnding setting is LF")
    assert client.results(job["id"], "successfulResults") == ""
    assert client.results(job["id"], "unprocessedrecords") == rows(2).replace(b"\n", b"\r\n").decode()


def test_an_empty_upload_and_closing_without_data_are_refused(client: Any) -> None:
    job = client.create()
    assert client.upload(job, b"").status_code == 400
    assert client.close(job).status_code == 400


def test_a_job_without_batches_left_fails_with_the_rest_unprocessed(
    start: Callable[..., Any], connect: Callable[..., Any], rows: Callable[..., bytes]
) -> None:
    client = connect(start("--daily-bulk-batches", "1").url)
    assert client.run(rows(10_000))["state"] == "JobComplete"
    job = client.run(rows(3))
    assert (job["state"], job["errorMessage"]) == ("Failed", "ExceededQuota : ApiBatchItems Limit exceeded.")
    assert len(table(client.results(job["id"], "unprocessedrecords"))) == 3

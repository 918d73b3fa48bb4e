from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceResourceNotFound

OBJECT = "Customer_Weekly_Metric__c"


def test_health_and_versions_need_no_session(emulator: Any) -> None:
    assert requests.get(f"{emulator.url}/health", timeout=5).status_code == 200
    versions = requests.get(f"{emulator.url}/services/data/", timeout=5).json()
    assert {"label": "API 59.0", "url": "/services/data/v59.0", "version": "59.0"} in versions


def test_simple_salesforce_describes_the_object(emulator: Any, salesforce: Callable[..., Any]) -> None:
    org = salesforce(emulator.url)
    fields = {field["name"]: field for field in org.Customer_Weekly_Metric__c.describe()["fields"]}
    assert fields["External_Signal_Id__c"]["externalId"] is True
    assert OBJECT in [one["name"] for one in org.describe()["sobjects"]]
    with pytest.raises(SalesforceResourceNotFound):
        org.Nothing__c.describe()


def test_simple_salesforce_reads_a_long_result_to_its_end(
    emulator: Any, client: Any, salesforce: Callable[..., Any], rows: Callable[..., bytes], prefix: str
) -> None:
    assert client.run(rows(2_500))["numberRecordsProcessed"] == 2_500
    org = salesforce(emulator.url)
    fields, where = "External_Signal_Id__c, Total_Spend_Week__c", f"External_Signal_Id__c LIKE '{prefix}%'"
    soql = f"SELECT {fields} FROM {OBJECT} WHERE {where}"
    first = org.query(soql)
    assert (first["totalSize"], first["done"], len(first["records"])) == (2_500, False, 2_000)
    records = list(org.query_all_iter(soql))
    assert {record["External_Signal_Id__c"] for record in records} == {f"{prefix}{i}" for i in range(2_500)}
    assert {record["Total_Spend_Week__c"] for record in records} == {12.5}
    assert org.query(soql.replace(fields, "COUNT()"))["totalSize"] == 2_500


def test_a_faulty_query_raises_in_simple_salesforce(emulator: Any, salesforce: Callable[..., Any]) -> None:
    with pytest.raises(SalesforceMalformedRequest, match="MALFORMED_QUERY"):
        salesforce(emulator.url).query(f"SELECT Id FROM {OBJECT} WHERE")


def test_every_call_counts_against_the_daily_limit(start: Callable[..., Any], connect: Callable[..., Any]) -> None:
    client = connect(start("--daily-api-requests", "2").url)
    answer = client.call("GET", "/limits")
    assert answer.json()["DailyApiRequests"] == {"Max": 2, "Remaining": 1}
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=1/2"
    assert client.call("GET", "/limits/").status_code == 200
    refused = client.call("GET", "/limits")
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("GET", "/jobs/ingest/7505e0000000000AAA", 404, "NOT_FOUND"),
        ("DELETE", "/limits", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/query", 400, "MALFORMED_QUERY"),
        ("GET", "/query/0r8-2000", 400, "INVALID_QUERY_LOCATOR"),
    ],
)
def test_errors_have_salesforces_body(client: Any, method: str, path: str, status: int, code: str) -> None:
    answer = client.call(method, path)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)


def test_an_api_version_that_does_not_exist_is_not_found(client: Any) -> None:
    answer = client.http.get(f"{client.url}/services/data/v12.0/limits", timeout=5)
    assert answer.status_code == 404

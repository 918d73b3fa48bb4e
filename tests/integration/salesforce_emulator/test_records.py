from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

OBJECT = "Customer_Weekly_Metric__c"
KEY = "External_Signal_Id__c"
COLLECTION = f"/composite/sobjects/{OBJECT}/{KEY}"
WEEK = {"External_Customer_Id__c": "c", "Week_Start__c": "2019-10-07", "Week_End__c": "2019-10-13"}


def record(key: str, **values: Any) -> dict[str, Any]:
    return {"attributes": {"type": OBJECT}, KEY: key, **WEEK, **values}


def test_a_collection_is_upserted_with_one_result_a_record(client: Any, prefix: str) -> None:
    body = {"records": [record(f"{prefix}1", Total_Spend_Week__c=10.25), record(f"{prefix}2", Top_Brand__c="x" * 256)]}
    first, second = client.call("PATCH", COLLECTION, json=body).json()
    assert (first["success"], first["created"], first["errors"]) == (True, True, [])
    assert second["success"] is False
    assert second["errors"][0]["statusCode"] == "STRING_TOO_LONG"
    assert second["errors"][0]["fields"] == ["Top_Brand__c"]
    (again, _) = client.call("PATCH", COLLECTION, json=body).json()
    assert (again["id"], again["created"]) == (first["id"], False)
    stored = client.query(f"SELECT Total_Spend_Week__c FROM {OBJECT} WHERE {KEY} = '{prefix}1'")["records"]
    assert stored[0]["Total_Spend_Week__c"] == 10.25


def test_all_or_none_undoes_the_good_records_of_a_bad_collection(client: Any, prefix: str) -> None:
    body = {"allOrNone": True, "records": [record(f"{prefix}1"), record(f"{prefix}2", Customer_Tier__c="tin")]}
    first, second = client.call("PATCH", COLLECTION, json=body).json()
    assert first["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert second["errors"][0]["statusCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    assert client.query(f"SELECT COUNT() FROM {OBJECT} WHERE {KEY} = '{prefix}1'")["totalSize"] == 0


def test_a_collection_has_two_hundred_records_at_most(client: Any, prefix: str) -> None:
    accepted = client.call("PATCH", COLLECTION, json={"records": [record(f"{prefix}{i}") for i in range(200)]})
    assert all(result["success"] for result in accepted.json())
    refused = client.call("PATCH", COLLECTION, json={"records": [record(f"{prefix}{i}") for i in range(201)]})
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "INVALID_INPUT")


def test_a_collection_is_inserted_and_then_updated_by_id(client: Any, prefix: str) -> None:
    inserted = client.call("POST", "/composite/sobjects", json={"records": [record(f"{prefix}1")]}).json()
    change = {"attributes": {"type": OBJECT}, "id": inserted[0]["id"], "Orders_Week__c": 4}
    updated = client.call("PATCH", "/composite/sobjects", json={"records": [change]}).json()
    assert (updated[0]["success"], updated[0]["id"]) == (True, inserted[0]["id"])
    assert client.query(f"SELECT Orders_Week__c FROM {OBJECT} WHERE {KEY} = '{prefix}1'")["records"][0][
        "Orders_Week__c"
    ] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([{KEY: "a"}], "INVALID_INPUT"),
        ([record("a"), {"attributes": {"type": "Other__c"}}], "INVALID_INPUT"),
        ([record("a", Nope__c=1)], "INVALID_FIELD"),
        ([record("a", Orders_Week__c="many")], "JSON_PARSER_ERROR"),
        ([record("a", Orders_Week__c=[1])], "JSON_PARSER_ERROR"),
    ],
)
def test_a_collection_that_cannot_be_read_is_refused_as_a_whole(
    client: Any, records: list[dict[str, Any]], code: str
) -> None:
    answer = client.call("POST", "/composite/sobjects", json={"records": records})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_simple_salesforce_works_with_single_records(
    emulator: Any, salesforce: Callable[..., Any], prefix: str
) -> None:
    metric = salesforce(emulator.url).Customer_Weekly_Metric__c
    key = f"{prefix}1|2019-10-07"
    assert metric.upsert(f"{KEY}/{key}", WEEK) == 201
    assert metric.upsert(f"{KEY}/{key}", {"Orders_Week__c": 2}) == 200
    found = metric.get_by_custom_id(KEY, key)
    assert (found[KEY], found["Orders_Week__c"], found["IsDeleted"]) == (key, 2.0, False)
    assert metric.update(found["Id"], {"Top_Brand__c": "x"}) == 204
    assert metric.get(found["Id"])["Top_Brand__c"] == "x"
    assert metric.delete(found["Id"]) == 204
    created = metric.create({KEY: key, **WEEK})
    assert created["success"] is True
    assert created["id"] != found["Id"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", f"/sobjects/{OBJECT}/{KEY}/nobody", None, 404, "NOT_FOUND"),
        ("GET", f"/sobjects/{OBJECT}/a0W5e0000zzzzzz", None, 404, "NOT_FOUND"),
        ("PATCH", f"/sobjects/{OBJECT}/Top_Brand__c/x", {}, 404, "NOT_FOUND"),
        ("PATCH", f"/sobjects/{OBJECT}/{KEY}/x", {KEY: "x"}, 400, "INVALID_FIELD"),
        ("PATCH", f"/sobjects/{OBJECT}/{KEY}/new-one", {}, 400, "REQUIRED_FIELD_MISSING"),
        ("PATCH", f"/sobjects/{OBJECT}/a0W5e0000000001", {"Id": "x"}, 400, "INVALID_FIELD"),
        ("DELETE", f"/sobjects/{OBJECT}/nonsense", None, 404, "MALFORMED_ID"),
        (
            "POST",
            f"/sobjects/{OBJECT}/",
            {"IsDeleted": True},
            400,
            "INVALID_FIELD_FOR_INSERT_UPDATE",
        ),
    ],
)
def test_a_single_record_that_cannot_be_saved_or_found_is_an_error(
    client: Any, method: str, path: str, body: dict[str, Any] | None, status: int, code: str
) -> None:
    answer = client.call(method, path, json=body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)

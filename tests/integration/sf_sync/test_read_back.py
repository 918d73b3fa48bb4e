"""What a sync leaves in the org, read back by simple-salesforce's own client and held to the signals field by field."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce

OBJECT = "Customer_Weekly_Metric__c"
ROWS = 2_300  # more than a page of a query
FIELDS = {
    "External_Signal_Id__c": "external_signal_id",
    "External_Customer_Id__c": "external_customer_id",
    "Week_Start__c": "week_start",
    "Week_End__c": "week_end",
    "Total_Spend_Week__c": "total_spend_week",
    "Orders_Week__c": "orders_week",
    "Views_Week__c": "views_week",
    "Carts_Week__c": "carts_week",
    "Sessions_Week__c": "sessions_week",
    "Active_Days_Week__c": "active_days_week",
    "Avg_Order_Value_Week__c": "avg_order_value_week",
    "Last_Event_At__c": "last_event_at",
    "Top_Category__c": "top_category",
    "Top_Brand__c": "top_brand",
    "Customer_Tier__c": "customer_tier",
    "Refreshed_At__c": "refreshed_at",
}
BRANDS = (
    "plain",
    'say "no"',
    "a,b;c\td",
    "two\nlines",
    "two\r\nlines",
    "lone\rreturn",
    "Ünïcödé ŁŽ",
    "日本語 🛒",
    "'single'",
    "#N/A no more",
    "=1+1",
    "null",
    "x" * 255,
    "back\\slash",
    None,
)
AMOUNTS = ("0.00", "0.01", "120.50", "1234567.89", "9999999999999999.99", "-0.01", "-9999999999999999.99")


class PlainHttp(HTTPAdapter):
    """Sends over http what the library addresses to https."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        request.url = "http://" + request.url.removeprefix("https://")
        return super().send(request, *args, **kwargs)


@pytest.fixture
def library(emulator: Any) -> Iterator[Salesforce]:
    """simple-salesforce as its users have it, logged in with a token of its own."""
    form = {"grant_type": "client_credentials", "client_id": "retl-demo", "client_secret": "retl-demo-secret"}
    token = requests.post(f"{emulator.url}/services/oauth2/token", data=form, timeout=5).json()["access_token"]
    with requests.Session() as session:
        host = urlsplit(emulator.url).netloc
        session.mount(f"https://{host}", PlainHttp())
        yield Salesforce(session_id=token, instance=host, session=session, parse_float=Decimal)


def rows_of_every_kind(make: Any) -> list[dict[str, Any]]:
    return [
        make.signal(
            f"c{number:05d}",
            total_spend_week=Decimal(AMOUNTS[number % len(AMOUNTS)]),
            avg_order_value_week=None if number % 3 == 0 else Decimal(AMOUNTS[number % len(AMOUNTS)]),
            orders_week=number,
            views_week=10**15 + number,
            last_event_at=datetime(2026, 1, 5 + number % 7, number % 24, 59, 59, 999_999, tzinfo=UTC),
            top_category=None if number % 5 == 0 else f"category.{number}",
            top_brand=BRANDS[number % len(BRANDS)],
            customer_tier=("platinum", "gold", "silver", "bronze", "prospect")[number % 5],
        )
        for number in range(ROWS)
    ]


def as_salesforce_keeps_it(value: Any) -> Any:
    """As JSON has it: milliseconds, ISO dates, numbers exactly."""
    match value:
        case datetime():
            return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}+0000"
        case date():
            return value.isoformat()
        case int():
            return Decimal(value)
        case _:
            return value


@pytest.mark.parametrize("read", ["query_all", "query_all_iter"])
@pytest.mark.parametrize("below", [0, 1_000_000])
async def test_simple_salesforce_reads_back_the_signals_field_by_field(
    bench: Any, make: Any, library: Salesforce, below: int, read: str
) -> None:
    rows = rows_of_every_kind(make)
    details = await bench.synced("r1", rows, sf_collections_below=below)
    assert (details["created"], details["failed"], details["invalid"]) == (ROWS, 0, 0)
    readers: dict[str, Callable[[str], list[Any]]] = {
        "query_all": lambda soql: library.query_all(soql)["records"],
        "query_all_iter": lambda soql: list(library.query_all_iter(soql)),
    }
    records = await asyncio.to_thread(readers[read], f"SELECT {', '.join(FIELDS)} FROM {OBJECT}")
    found = {record["External_Signal_Id__c"]: {field: record[field] for field in FIELDS} for record in records}
    assert len(records) == len(found) == ROWS
    for row in rows:
        expected = {field: as_salesforce_keeps_it(row[column]) for field, column in FIELDS.items()}
        assert found[row["external_signal_id"]] == expected


@pytest.mark.parametrize("below", [0, 2000])
async def test_an_absent_value_empties_a_field_that_clears_and_leaves_one_that_keeps(
    bench: Any, make: Any, library: Salesforce, below: int
) -> None:
    await bench.synced("r1", [make.signal("c1")], sf_collections_below=below)
    nothing = dict.fromkeys(("top_brand", "avg_order_value_week", "customer_tier", "last_event_at", "orders_week"))
    details = await bench.synced("r2", [make.signal("c1", **nothing)], force=True, sf_collections_below=below)
    assert details["updated"] == 1
    fields = "Top_Brand__c, Avg_Order_Value_Week__c, Customer_Tier__c, Last_Event_At__c, Orders_Week__c"
    (record,) = (await asyncio.to_thread(library.query_all, f"SELECT {fields} FROM {OBJECT}"))["records"]
    del record["attributes"]
    assert record == {
        "Top_Brand__c": None,
        "Avg_Order_Value_Week__c": None,
        "Customer_Tier__c": "silver",
        "Last_Event_At__c": "2026-01-09T12:30:15.123+0000",
        "Orders_Week__c": Decimal("2.0"),
    }
    details = await bench.synced("r3", [make.signal("c1", **nothing)], force=True, sf_collections_below=below)
    assert details["unchanged"] == 1


@pytest.mark.parametrize("below", [0, 2000])
async def test_text_that_salesforce_would_read_as_null_is_not_sent_and_what_it_trims_is_trimmed(
    bench: Any, make: Any, below: int
) -> None:
    rows = [
        make.signal("marker", top_brand="#N/A"),
        make.signal("spaces", top_brand="  lead and trail \u00a0", top_category=" \t "),
        make.signal("control", top_brand="a\x00b\x07c"),
    ]
    details = await bench.synced("r1", rows, sf_collections_below=below, sf_max_error_rate_pct=Decimal(50))
    assert (details["created"], details["invalid"], details["top_codes"]) == (2, 1, {"reserved_text": 1})
    records = {key.partition("|")[0]: record for key, record in bench.emulator.records().items()}
    assert records.keys() == {"spaces", "control"}
    assert (records["spaces"]["Top_Brand__c"], records["spaces"]["Top_Category__c"]) == ("lead and trail", None)
    assert records["control"]["Top_Brand__c"] == "abc"

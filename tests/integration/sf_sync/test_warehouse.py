"""SF_SOURCE=warehouse through pyodbc and a real ODBC driver (SQLite's), from the view to the records in Salesforce."""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from libs.common.week import Week
from services.sf_sync.errors import SourceError
from services.sf_sync.source import BATCH_ROWS, SIGNALS_SCHEMA, WarehouseView

MISSING = "needs an ODBC driver manager and SQLite's driver: apt-get install unixodbc libsqliteodbc"
pyodbc = pytest.importorskip("pyodbc", reason=MISSING, exc_type=ImportError)
if "SQLite3" not in pyodbc.drivers():
    pytest.skip(MISSING, allow_module_level=True)

WEEK = Week.of(date(2026, 1, 5))
# SQLite keeps a DECIMAL as a double; as text it keeps every digit, and the driver brings it so.
TYPES = {
    pa.string(): "VARCHAR(255)",
    pa.date32(): "DATE",
    pa.decimal128(18, 2): "VARCHAR(20)",
    pa.int64(): "BIGINT",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
}


class Warehouse:
    """A database with the view, and how to connect to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # By default the driver holds a whole result in memory; with StepAPI it steps through it.
        self.url = f"Driver=SQLite3;Database={path};StepAPI=1"

    def fill(self, rows: list[dict[str, Any]]) -> None:
        columns = ", ".join(f"{field.name} {TYPES[field.type]}" for field in SIGNALS_SCHEMA)
        names = SIGNALS_SCHEMA.names
        with sqlite3.connect(self._path) as database:
            database.execute(f"CREATE TABLE week ({columns})")
            database.execute("CREATE VIEW vw_salesforce_customer_weekly_export AS SELECT * FROM week")
            marks = ", ".join("?" * len(names))
            database.executemany(
                f"INSERT INTO week VALUES ({marks})", ([_as_text(row[name]) for name in names] for row in rows)
            )
        database.close()


def _as_text(value: Any) -> Any:
    match value:
        case Decimal() | date():
            return str(value).replace("+00:00", "")[:23]  # milliseconds are all that the driver reads
        case _:
            return value


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse.db")


async def test_the_rows_of_the_view_are_in_salesforce_with_their_values(
    bench: Any, make: Any, warehouse: Warehouse
) -> None:
    rows = make.signals(250)
    rows[7] |= {"total_spend_week": Decimal("9999999999999999.99"), "top_brand": None, "avg_order_value_week": None}
    other = make.signal("another-week", week_start=WEEK.start - timedelta(days=7))
    await asyncio.to_thread(warehouse.fill, [*rows, other])
    source = {"sf_source": "warehouse", "sf_warehouse_url": SecretStr(warehouse.url)}
    details = await bench.synced("r1", [], **source)
    assert (details["created"], details["failed"], details["invalid"]) == (250, 0, 0)
    records = bench.emulator.records()
    assert records.keys() == {row["external_signal_id"] for row in rows}
    record = records["c000003|2026-01-05"]
    assert (record["Total_Spend_Week__c"], record["Orders_Week__c"]) == (120.5, 2)
    assert record["Last_Event_At__c"] == "2026-01-09T12:30:15.123+0000"
    assert record["Top_Category__c"] == 'electronics, "small"\r\nand more'
    (held,) = (await bench.log.customer("c000007", WEEK)).accepted
    assert held.values["Total_Spend_Week__c"] == "9999999999999999.99"
    assert (held.values["Top_Brand__c"], held.values["Week_End__c"]) == (None, "2026-01-11")
    details = await bench.synced("r2", [], force=True, **source)
    assert (details["unchanged"], details["created"]) == (250, 0)


def peak_of_reading(view: WarehouseView, pages: int) -> int:
    """Bytes at the peak while so many pages of the view are read."""
    tracemalloc.start()
    with view.batches() as batches:
        read = sum(batch.num_rows for batch, _ in zip(batches, range(pages), strict=False))
    assert read == pages * BATCH_ROWS
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_rows_of_the_view(make: Any, warehouse: Warehouse) -> None:
    warehouse.fill(make.signals(5 * BATCH_ROWS))
    view = WarehouseView(warehouse.url, "vw_salesforce_customer_weekly_export", WEEK)
    assert peak_of_reading(view, pages=5) < 1.3 * peak_of_reading(view, pages=2)


@pytest.mark.parametrize("wrong", ["no_such_view", "main.no_such_view"])
def test_a_view_that_is_not_there_is_told_with_its_name(warehouse: Warehouse, wrong: str) -> None:
    warehouse.fill([])
    with (
        pytest.raises(SourceError, match=f"Reading {wrong} failed"),
        WarehouseView(warehouse.url, wrong, WEEK).batches(),
    ):
        pass


def test_a_driver_that_is_not_installed_is_told_and_the_password_is_not() -> None:
    view = WarehouseView("Driver=NoSuchDriver;PWD=hidden", "vw", WEEK)
    with pytest.raises(SourceError, match="SQLSTATE") as raised, view.batches():
        pass
    assert "hidden" not in str(raised.value)

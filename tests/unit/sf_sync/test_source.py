"""The warehouse view as a source: streamed through ODBC, one page of rows at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from libs.common.week import Week
from services.sf_sync.errors import SourceError
from services.sf_sync.source import BATCH_ROWS, SIGNALS_SCHEMA, WarehouseView, distinct_values

WEEK = Week.of(date(2026, 1, 5))
AT = datetime(2026, 1, 9, 12, 30)  # noqa: DTZ001 - as ODBC gives it


class DriverError(Exception):
    """As pyodbc.Error."""


class Database:
    """What a driver for ODBC offers, and what was asked of it."""

    def __init__(self, rows: int) -> None:
        self.rows = iter([self.row(number) for number in range(rows)])
        self.asked: list[Any] = []
        self.pages: list[int] = []
        self.closed = False

    def row(self, number: int) -> tuple[Any, ...]:
        amount = Decimal("12.50")
        key = f"c{number}"
        return (f"{key}|w", key, WEEK.start, WEEK.end, amount, 1, 2, 3, 4, 5, amount, AT, "toys", None, "gold", AT)

    def connect(self, connection_string: str, *, readonly: bool) -> Database:
        self.asked.append(readonly)
        return self

    def cursor(self) -> Database:
        return self

    def execute(self, sql: str, *parameters: Any) -> None:
        self.asked += [sql, *parameters]

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        found = [row for _, row in zip(range(size), self.rows, strict=False)]
        self.pages.append(len(found))
        return found

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def view() -> WarehouseView:
    return WarehouseView("Driver=x;PWD=hidden", "dbo.vw_export", WEEK)


def install(monkeypatch: pytest.MonkeyPatch, connect: Any) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", SimpleNamespace(connect=connect, Error=DriverError))


def read(view: WarehouseView) -> Iterator[pa.RecordBatch]:
    with view.batches() as batches:
        yield from batches


def test_the_rows_of_the_week_come_in_pages_with_the_contract_s_types(
    view: WarehouseView, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(BATCH_ROWS + 1)
    install(monkeypatch, database.connect)
    batches = list(read(view))
    assert [batch.num_rows for batch in batches] == [BATCH_ROWS, 1]
    assert batches[0].schema == SIGNALS_SCHEMA
    assert batches[0].column("last_event_at")[0].as_py().isoformat() == "2026-01-09T12:30:00+00:00"
    readonly, sql, *week = database.asked
    assert readonly is True
    assert sql.endswith("FROM dbo.vw_export WHERE week_start = ? AND week_end = ?")
    assert week == [WEEK.start, WEEK.end]
    assert database.closed


def test_no_page_is_fetched_before_it_is_asked_for(view: WarehouseView, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(3 * BATCH_ROWS)
    install(monkeypatch, database.connect)
    next(iter(read(view)))
    assert database.pages == [BATCH_ROWS]


def test_the_values_of_a_picklist_are_collected_from_the_view(
    view: WarehouseView, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Database(3).connect)
    assert distinct_values(view, ["customer_tier"]) == {"customer_tier": ["gold"]}


def test_a_driver_s_error_is_told_by_its_state_and_never_with_the_connection_string(
    view: WarehouseView, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(connection_string: str, *, readonly: bool) -> None:
        raise DriverError("42S02", f"no such view, {connection_string}")

    install(monkeypatch, refuse)
    with pytest.raises(SourceError, match=r"Reading dbo.vw_export failed \(SQLSTATE 42S02\)") as raised:
        list(read(view))
    assert "hidden" not in f"{raised.value}{view!r}"


def test_a_missing_driver_says_what_to_install(view: WarehouseView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", None)
    with pytest.raises(SourceError, match="install the extra `odbc`"):
        list(read(view))

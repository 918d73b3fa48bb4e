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

from libs.common.errors import is_transient
from libs.common.week import Week
from services.sf_sync.errors import SourceError, SourceUnavailableError
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

    def connect(self, connection_string: str, *, readonly: bool, timeout: int) -> Database:
        assert timeout > 0
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
    def refuse(connection_string: str, **_: object) -> None:
        raise DriverError("42S02", f"no such view, {connection_string}")

    install(monkeypatch, refuse)
    with pytest.raises(SourceError, match=r"Reading dbo.vw_export failed \(SQLSTATE 42S02\)") as raised:
        list(read(view))
    assert "hidden" not in f"{raised.value}{view!r}"


@pytest.mark.parametrize(
    ("state", "text", "passes"),
    [
        ("08S01", "Communication link failure", True),
        ("HYT00", "Login timeout expired", True),
        ("40001", "chosen as the deadlock victim. (1205) (SQLExecDirectW)", True),
        ("HY000", "Database is not currently available. (40613) (SQLDriverConnect)", True),
        ("28000", "Login failed for user. (18456) (SQLDriverConnect)", False),
        ("42S02", "Invalid object name. (208) (SQLExecDirectW)", False),
        ("IM002", "Data source name not found", False),
    ],
)
def test_a_warehouse_that_is_away_is_tried_again_and_one_that_refuses_is_not(
    view: WarehouseView, monkeypatch: pytest.MonkeyPatch, state: str, text: str, passes: bool
) -> None:
    def refuse(connection_string: str, **_: object) -> None:
        raise DriverError(state, f"[{state}] {text}")

    install(monkeypatch, refuse)
    with pytest.raises((SourceError, SourceUnavailableError)) as raised:
        list(read(view))
    assert is_transient(raised.value) is passes


@pytest.mark.parametrize(
    ("place", "value"), [(4, 12.5), (4, Decimal("12.505")), (4, "much"), (5, Decimal("1.5")), (2, "soon"), (11, "now")]
)
def test_a_value_that_does_not_fit_the_contract_is_refused_and_never_rounded(
    view: WarehouseView, monkeypatch: pytest.MonkeyPatch, place: int, value: object
) -> None:
    database = Database(0)
    row = database.row(1)
    database.rows = iter([(*row[:place], value, *row[place + 1 :])])
    install(monkeypatch, database.connect)
    with pytest.raises(SourceError, match=f"Column {SIGNALS_SCHEMA.names[place]} of dbo.vw_export") as raised:
        list(read(view))
    assert str(value) not in str(raised.value)


def test_exact_values_in_other_types_than_the_contract_s_are_taken_as_they_are(
    view: WarehouseView, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(0)
    row = database.row(1)
    database.rows = iter([(row[0], 17, *row[2:4], "9999999999999999.99", Decimal(3), *row[6:10], 12, *row[11:])])
    install(monkeypatch, database.connect)
    (batch,) = read(view)
    found = batch.to_pylist()[0]
    assert (found["external_customer_id"], found["orders_week"]) == ("17", 3)
    assert (found["total_spend_week"], found["avg_order_value_week"]) == (
        Decimal("9999999999999999.99"),
        Decimal("12.00"),
    )


def test_the_values_of_a_picklist_are_held_to_it_as_they_are_sent(
    view: WarehouseView, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(0)
    row = database.row(1)
    database.rows = iter([(*row[:14], tier, row[15]) for tier in (" gold ", "gold", "  ", None)])
    install(monkeypatch, database.connect)
    assert distinct_values(view, ["customer_tier"]) == {"customer_tier": ["gold"]}


def test_a_missing_driver_says_what_to_install(view: WarehouseView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", None)
    with pytest.raises(SourceError, match="install the extra `odbc`"):
        list(read(view))

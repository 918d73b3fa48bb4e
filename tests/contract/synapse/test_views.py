"""The warehouse's views give the gate's signals: the T-SQL, transpiled to DuckDB, over the same published weeks."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlfluff
import sqlglot
from sqlglot import exp

from libs.common.events.schema import EVENT_SCHEMA
from libs.common.lake import paths
from libs.common.settings import load_settings
from libs.common.week import Week
from services.gate.settings import GateSettings
from services.gate.signals import signals_query
from services.sf_sync.source import SIGNALS_SCHEMA

FOLDER = Path(__file__).parents[3] / "deploy/sql/synapse"
VIEWS = (FOLDER / "views.sql").read_text("utf-8")
BATCHES = [batch.strip() for batch in re.split(r"^GO$", VIEWS, flags=re.MULTILINE) if batch.strip()]
EVENTS_VIEW, SIGNALS_VIEW, EXPORT_VIEW = BATCHES
SETTINGS = load_settings(GateSettings, _env_file=None, state_url="sqlite://", lake_url="file:///lake")
WEEKS = [Week.of(date(2026, 1, 5)), Week.of(date(2026, 1, 12)), Week(date(2026, 1, 12), date(2026, 1, 13))]
CUSTOMERS = [
    *("Ann", "ANN", "ann", "Ann ", " Ann", "änn", "ÄNN", "a\u0308nn", "O'Brien", 'say "hi"', "a|b", "a\tb", "ß", "ss"),
    *("日本", "👩‍👩‍👧", "512475445", "0512475445", "-1", "x" * 200),
]
NAMES = [None, "acme", "ACME", "acme ", "Ünïcode", "zeta", "日本", "👟", "a.b-c_d", "a"]
AT_THE_EDGES = ["0", "0.0049", "0.005", "99.9949", "99.995", "100", "499.99", "500", "999.9949", "999.995", "1000"]
"""What a customer may spend: at the edges of tiers and of cents."""


def event(week: Week, user: str, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(EVENT_SCHEMA.names)
    values |= {
        "event_time": week.opens_at,
        "event_type": "view",
        "user_id": user,
        "batch_week_start": week.start,
        "batch_week_end": week.end,
        "ingested_at": datetime(2026, 2, 1, 6, 30, 0, 123456, tzinfo=UTC),
    }
    return values | changes


def odd_week(week: Week) -> list[dict[str, Any]]:
    """Everything that two databases could tell differently, many times over; the same each time."""
    chance = random.Random(str(week))
    length = (week.closes_at - week.opens_at) // timedelta(microseconds=1)
    rows = [
        event(
            week,
            chance.choice(CUSTOMERS),
            event_time=week.opens_at + timedelta(microseconds=chance.randrange(length)),
            event_type=chance.choice(["view", "view", "cart", "purchase"]),
            price=chance.choice([None, Decimal(chance.randrange(10_000_000)) / 10_000, Decimal("0.0050")]),
            brand=chance.choice(NAMES),
            category_code=chance.choice(NAMES),
            user_session=chance.choice([None, "s", "S", "s ", "t", str(chance.randrange(50))]),
        )
        for _ in range(3000)
    ]
    rows += [event(week, f"spends {spend}", event_type="purchase", price=Decimal(spend)) for spend in AT_THE_EDGES]
    thirds = [Decimal("0.01"), Decimal("0.01"), Decimal("0.0149"), Decimal("33333333333333.3333")]
    rows += [event(week, "averages", event_type="purchase", price=price) for price in thirds]
    rows += [event(week, "ties", brand=name, category_code=name) for name in (*NAMES, *reversed(NAMES))]
    rows += [event(week, "only browses", price=Decimal("5000"), user_session="s")]
    rows += [event(week, "edge", event_time=at) for at in (week.opens_at, week.closes_at - timedelta(microseconds=1))]
    outside = [week.opens_at - timedelta(microseconds=1), week.closes_at]
    rows += [event(week, user, event_time=at, event_type="cart") for at in outside for user in ("edge", "outside")]
    return rows


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published weeks, each in two files."""
    folder = tmp_path_factory.mktemp("lake")
    for week in WEEKS:
        directory = folder / paths.curated_events_dir(week.start, week.end)
        directory.mkdir(parents=True)
        rows = odd_week(week)
        for name, some in (("part-00000-r.parquet", rows[::2]), ("part-00001-r.parquet", rows[1::2])):
            pq.write_table(pa.Table.from_pylist(some, EVENT_SCHEMA), directory / name)
        (directory / "_manifest.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def warehouse(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in which the views exist. What reads the files is DuckDB's own, made from the pool's declaration."""
    (glob,) = re.findall(r"BULK '([^']+)'", EVENTS_VIEW)
    selected = re.findall(r"files\.(\w+)[,\s]", EVENTS_VIEW.split("FROM OPENROWSET")[0])
    with duckdb.connect(config={"threads": 1}) as db:
        db.execute("LOAD icu")
        db.execute("SET TimeZone = 'UTC'")
        db.execute("CREATE SCHEMA dbo")
        types = {"DATETIME2(6)": "TIMESTAMP", "DECIMAL(18, 4)": "DECIMAL(18, 4)"}
        columns = [f"CAST({name} AS {types.get(kind, 'VARCHAR')}) AS {name}" for name, kind, _ in declared_columns()]
        assert [name for name, _, _ in declared_columns()] == selected
        db.execute(
            f"CREATE VIEW dbo.vw_curated_events AS SELECT week_start, week_end, {', '.join(columns)} FROM "
            f"read_parquet('{lake}/{glob}', hive_partitioning = true)"
        )
        for view in (SIGNALS_VIEW, EXPORT_VIEW):
            db.execute(in_duckdb(view))
        yield db


def declared_columns() -> list[tuple[str, str, str]]:
    """Name, type and collation of each column that the pool is told to read."""
    (declared,) = re.findall(r"\) WITH \((.+)\) AS files;", EVENTS_VIEW, re.DOTALL)
    return re.findall(r"(\w+) ([A-Z]\w+(?:\([\d, ]+\))?)(?: COLLATE (\w+))?,?\n", declared)


def in_duckdb(view: str) -> str:
    """The view as DuckDB understands it, where `+` joins no texts and `/` cuts nothing off."""

    tree = sqlglot.parse_one(view, read="tsql")
    texts = [
        node
        for node in tree.find_all(exp.Add)
        if any(part.is_string or isinstance(part, exp.Chr) for part in node.walk())
    ]
    for join in reversed(texts):  # the innermost first
        join.replace(exp.DPipe(this=join.this, expression=join.expression))
    for division in reversed(list(tree.find_all(exp.Div))):
        division.replace(exp.IntDiv(this=division.this, expression=division.expression))
    return tree.sql("duckdb")


def signals_of_the_gate(lake: Path, week: Week) -> list[dict[str, Any]]:
    directory = lake / paths.curated_events_dir(week.start, week.end)
    row = (week.start, week.end, week.opens_at, week.closes_at, datetime(2026, 2, 1, 6, 30, 0, 123456, tzinfo=UTC))
    with duckdb.connect(config={"threads": 1}) as db:
        db.execute("LOAD icu")
        db.execute("SET TimeZone = 'UTC'")
        db.read_parquet(f"{directory}/*.parquet").create_view("events")
        db.execute(
            "CREATE TABLE week AS SELECT $1::DATE AS week_start, $2::DATE AS week_end, $3::TIMESTAMPTZ AS opens_at, "
            "$4::TIMESTAMPTZ AS closes_at, $5::TIMESTAMPTZ AS refreshed_at",
            row,
        )
        table = db.sql(signals_query(SETTINGS.customer_tiers)).to_arrow_table()
        found: list[dict[str, Any]] = table.cast(SIGNALS_SCHEMA).to_pylist()
        return found


def of_the_view(db: duckdb.DuckDBPyConnection, view: str, week: Week) -> list[dict[str, Any]]:
    table = db.sql(
        f"SELECT * FROM dbo.{view} WHERE week_start = '{week.start}' AND week_end = '{week.end}' "
        "ORDER BY external_customer_id"
    ).to_arrow_table()
    found: list[dict[str, Any]] = table.cast(SIGNALS_SCHEMA).to_pylist()
    return found


@pytest.mark.parametrize("view", ["vw_customer_weekly_signals", "vw_salesforce_customer_weekly_export"])
@pytest.mark.parametrize("week", WEEKS, ids=str)
def test_a_view_gives_the_gates_signals_in_every_row_and_column(
    warehouse: duckdb.DuckDBPyConnection, lake: Path, week: Week, view: str
) -> None:
    expected = signals_of_the_gate(lake, week)
    assert len(expected) == len(CUSTOMERS) + len(AT_THE_EDGES) + 4
    assert of_the_view(warehouse, view, week) == expected


def test_the_weeks_of_the_comparison_hold_what_is_hard_to_tell_alike(lake: Path) -> None:
    rows = {row["external_customer_id"]: row for row in signals_of_the_gate(lake, WEEKS[0])}
    assert {row["customer_tier"] for row in rows.values()} == {"platinum", "gold", "silver", "bronze", "prospect"}
    assert (rows["ties"]["top_brand"], rows["only browses"]["top_brand"]) == ("ACME", None)
    assert rows["spends 99.995"]["total_spend_week"] == Decimal("100.00")
    assert rows["averages"]["avg_order_value_week"] == Decimal("8333333333333.34")
    assert (rows["edge"]["views_week"], rows["edge"]["carts_week"], "outside" in rows) == (2, 0, False)


def test_the_export_has_the_columns_that_the_sync_reads(warehouse: duckdb.DuckDBPyConnection) -> None:
    described = warehouse.sql("DESCRIBE dbo.vw_salesforce_customer_weekly_export").fetchall()
    assert [name for name, *_ in described] == SIGNALS_SCHEMA.names


def test_every_text_that_the_pool_reads_compares_code_points() -> None:
    texts = {name: collation for name, kind, collation in declared_columns() if kind.startswith("VARCHAR")}
    assert set(texts) == {column.name for column in EVENT_SCHEMA if pa.types.is_string(column.type)}
    assert set(texts.values()) == {"Latin1_General_100_BIN2_UTF8"}


def test_every_text_that_is_grouped_joined_or_ordered_ends_in_a_character_that_is_no_blank() -> None:
    tree = sqlglot.parse_one(SIGNALS_VIEW, read="tsql")
    compared = {
        column.name
        for kind in (exp.Group, exp.Window, exp.Ordered, exp.Distinct, exp.Join)
        for node in tree.find_all(kind)
        for column in node.find_all(exp.Column)
    }
    keys = {
        alias.alias
        for alias in tree.find_all(exp.Alias)
        if isinstance(alias.this, exp.Add) and alias.this.expression == exp.Chr(expressions=[exp.Literal.number(1)])
    }
    assert keys == {"customer_key", "category_key", "brand_key", "session_key"}
    assert compared - keys == {"week_start", "week_end", "event_time", "place"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.sql*")), ids=lambda path: path.name)
def test_the_scripts_are_tsql_in_batches_that_end_with_go(path: Path) -> None:
    text = path.read_text("utf-8")
    filled = string.Template(text).substitute(
        DATABASE="retl", MASTER_KEY_PASSWORD="secret", LAKE_LOCATION="https://a", READER="id-sf-sync"
    )
    # The one statement that sqlfluff's grammar lacks: a grant on a credential.
    known = re.sub(r"ON DATABASE SCOPED CREDENTIAL::\w+", "ON dbo.credential", filled)
    sqlfluff.parse(known, dialect="tsql")
    assert text.endswith(";\nGO\n")


def test_every_view_can_be_deployed_again() -> None:
    heads = [re.search(r"^CREATE OR ALTER VIEW dbo\.(\w+)\nAS\n", batch, re.MULTILINE) for batch in BATCHES]
    assert [head and head[1] for head in heads] == [
        "vw_curated_events",
        "vw_customer_weekly_signals",
        "vw_salesforce_customer_weekly_export",
    ]

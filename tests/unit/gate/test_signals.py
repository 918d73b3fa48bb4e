"""Customer-week signals against an aggregation that shares nothing with them."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gate.row_groups import ROW_GROUP_ROWS, RowGroupWriter
from services.gate.signals import signals_query, slices
from services.sf_sync.source import SIGNALS_SCHEMA
from tests.unit.gate.conftest import REQUESTED_AT, SETTINGS, WEEK, Row, audited, event

CENT = Decimal("0.01")
LENGTH = (WEEK.closes_at - WEEK.opens_at) // timedelta(microseconds=1)


def aggregated(events: Sequence[Row]) -> list[Row]:
    """The contract, in plain Python."""
    by_customer: dict[str, list[Row]] = defaultdict(list)
    for row in events:
        if WEEK.opens_at <= row["event_time"] < WEEK.closes_at:
            by_customer[row["user_id"]].append(row)
    return [_signal(customer, by_customer[customer]) for customer in sorted(by_customer)]


def _signal(customer: str, events: Sequence[Row]) -> Row:
    types = Counter(row["event_type"] for row in events)
    exact = sum((row["price"] or Decimal(0) for row in events if row["event_type"] == "purchase"), Decimal(0))
    spend, orders = exact.quantize(CENT, ROUND_HALF_UP), types["purchase"]
    least = {"platinum": Decimal(1000), "gold": Decimal(500), "silver": Decimal(100), "bronze": CENT}
    return {
        "external_signal_id": f"{customer}|{WEEK.start}",
        "external_customer_id": customer,
        "week_start": WEEK.start,
        "week_end": WEEK.end,
        "total_spend_week": spend,
        "orders_week": orders,
        "views_week": types["view"],
        "carts_week": types["cart"],
        "sessions_week": len({row["user_session"] for row in events} - {None}),
        "active_days_week": len({row["event_time"].date() for row in events}),
        "avg_order_value_week": (exact / orders).quantize(CENT, ROUND_HALF_UP) if orders else None,
        "last_event_at": max(row["event_time"] for row in events),
        "top_category": _top(row["category_code"] for row in events),
        "top_brand": _top(row["brand"] for row in events),
        "customer_tier": next((tier for tier, limit in least.items() if spend >= limit), "prospect"),
        "refreshed_at": REQUESTED_AT,
    }


def _top(names: Any) -> str | None:
    counts = Counter(name for name in names if name is not None)
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def signals(folder: Path, events: list[Row], *, slice_events: int = 1_000_000) -> Any:
    """The gate's table, written as the gate writes it."""
    target = folder / "signals.parquet"
    with audited(folder, events) as audit:
        ranges = slices(audit.customers(), slice_events)
        rows = audit.write([signals_query(SETTINGS.customer_tiers, customers) for customers in ranges], target)
    table = pq.read_table(target)
    assert table.num_rows == rows
    return table


names = st.none() | st.sampled_from(["", "a", "A", "a ", "b", "ä", "日本", "👟", "\uffff", "o'b"])
prices = st.none() | st.sampled_from(["0", "0.0049", "0.0050", "0.0051", "99.995", "499.9949", "1000"]).map(Decimal)
customers = st.sampled_from(["a", "A", "a ", "b|2026-01-05", "ü", "👟", "o'b", "10", "9"])
events_of_a_week = st.lists(
    st.builds(
        lambda at, **row: event(event_time=WEEK.opens_at + timedelta(microseconds=at), **row),
        at=st.sampled_from([-1, 0, LENGTH - 1, LENGTH]) | st.integers(0, LENGTH - 1),
        event_type=st.sampled_from(["purchase", "purchase", "view", "cart", "other"]),
        user_id=customers,
        user_session=names,
        brand=names,
        category_code=names,
        price=prices | st.decimals(0, 2000, places=4),
    ),
    max_size=40,
)


@given(events=events_of_a_week, slice_events=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_signals_equal_an_independent_aggregation_to_the_cent(events: list[Row], slice_events: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert signals(Path(folder), events, slice_events=slice_events).to_pylist() == aggregated(events)


def test_the_file_has_the_contracts_columns_also_without_rows(tmp_path: Path) -> None:
    assert signals(tmp_path, [event()]).schema.equals(SIGNALS_SCHEMA)
    assert signals(tmp_path, []).schema.equals(SIGNALS_SCHEMA)


def test_how_the_customers_are_divided_changes_no_byte(tmp_path: Path) -> None:
    events = [event(user_id=f"u{number}", brand=f"b{number % 3}") for number in range(30)]
    written = set()
    for slice_events in (1, 7, 10_000):
        signals(tmp_path, events, slice_events=slice_events)
        written.add((tmp_path / "signals.parquet").read_bytes())
    assert len(written) == 1


def test_row_groups_are_cut_by_count_alone(tmp_path: Path) -> None:
    rows = pa.table({"n": range(ROW_GROUP_ROWS * 2 + 10)})
    written = set()
    for size in (1_000, 65_537, 1_000_000):
        with RowGroupWriter(tmp_path / "file.parquet") as writer:
            writer.write(rows.slice(0, 12_345).to_reader(max_chunksize=size))
            writer.write(rows.slice(12_345).to_reader(max_chunksize=size))
        assert writer.rows == rows.num_rows
        written.add((tmp_path / "file.parquet").read_bytes())
    groups = pq.read_metadata(tmp_path / "file.parquet")
    assert len(written) == 1
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 10]


def test_slices_cover_every_customer_once_and_hold_about_as_many_events_as_asked() -> None:
    assert slices([]) == ["true AND true"]
    assert slices([("a", 3), ("o'b", 3), ("c", 1), ("d", 9), ("e", 1)], events=5) == [
        "true AND user_id < 'o''b'",
        "user_id >= 'o''b' AND user_id < 'd'",
        "user_id >= 'd' AND user_id < 'e'",
        "user_id >= 'e' AND true",
    ]


def test_tiers_can_be_set(tmp_path: Path) -> None:
    tiers = (("king's", Decimal("0.02")), ("guest", Decimal("0.01")))
    spends = {"a": "0.02", "b": "0.01", "c": "0"}
    events = [event(user_id=user, event_type="purchase", price=Decimal(spend)) for user, spend in spends.items()]
    with audited(tmp_path, events) as audit:
        audit.write([signals_query(tiers)], tmp_path / "signals.parquet")
    found = pq.read_table(tmp_path / "signals.parquet").column("customer_tier").to_pylist()
    assert found == ["king's", "guest", "prospect"]


@pytest.mark.parametrize("prices", [("0.0049",), ("0.005",), ("10.0050", "0.0000"), ("0.0100", "0.0100", "0.0149")])
def test_money_is_rounded_half_up_as_by_hand(tmp_path: Path, prices: tuple[str, ...]) -> None:
    events = [event(event_type="purchase", price=Decimal(price), user_session=str(n)) for n, price in enumerate(prices)]
    total = sum((Decimal(price) for price in prices), Decimal(0))
    (row,) = signals(tmp_path, events).to_pylist()
    assert row["total_spend_week"] == total.quantize(CENT, ROUND_HALF_UP)
    assert row["avg_order_value_week"] == (total / len(prices)).quantize(CENT, ROUND_HALF_UP)
    assert row["orders_week"] == row["sessions_week"] == len(prices)


@pytest.mark.parametrize(
    ("spend", "tier"),
    [
        ("1000", "platinum"),
        ("999.99", "gold"),
        ("500", "gold"),
        ("100", "silver"),
        ("0.01", "bronze"),
        ("0", "prospect"),
    ],
)
def test_tiers_follow_the_week_s_spend(tmp_path: Path, spend: str, tier: str) -> None:
    (row,) = signals(tmp_path, [event(event_type="purchase", price=Decimal(spend))]).to_pylist()
    assert row["customer_tier"] == tier


def test_the_top_brand_has_most_events_and_ties_go_by_name(tmp_path: Path) -> None:
    brands = ["zeta", "zeta", "alpha", "alpha", "beta", None, None, None]
    (row,) = signals(tmp_path, [event(brand=brand) for brand in brands]).to_pylist()
    assert (row["top_brand"], row["top_category"], row["avg_order_value_week"]) == ("alpha", None, None)

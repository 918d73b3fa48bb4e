"""Rules, decision and signals over small weeks with known truth, in DuckDB as in production."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.errors import SettingsError
from libs.common.events.schema import EVENT_SCHEMA
from libs.common.settings import load_settings
from libs.common.state import RunStatus
from libs.common.week import Week
from services.gate.adapters import AuditedFile, WeekAudit
from services.gate.decision import decide, reject_rate_pct
from services.gate.rules import Check, apply, load_rules
from services.gate.settings import GateSettings
from services.gate.signals import signals_query

WEEK = Week.of(date(2026, 1, 5))
REQUESTED_AT = datetime(2026, 1, 12, 6, tzinfo=UTC)
SETTINGS = load_settings(GateSettings, _env_file=None, state_url="sqlite://", lake_url="file:///lake")
RULES = load_rules(SETTINGS.gate_rules_file, SETTINGS)


def event(day: int = 0, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(EVENT_SCHEMA.names)
    values |= {
        "event_time": WEEK.opens_at + timedelta(days=day, hours=1),
        "event_type": "view",
        "user_id": "u1",
        "user_session": "s1",
        "price": Decimal("10.0000"),
        "batch_week_start": WEEK.start,
        "batch_week_end": WEEK.end,
        "ingested_at": REQUESTED_AT,
    }
    return values | changes


def whole_week() -> list[dict[str, Any]]:
    kinds = ("view", "cart", "purchase", "view", "view", "view", "view")
    return [event(day, event_type=kind, user_id=f"u{day}") for day, kind in enumerate(kinds)]


@contextmanager
def audited(folder: Path, events: list[dict[str, Any]], **changes: Any) -> Iterator[WeekAudit]:
    path = folder / "events.parquet"
    pq.write_table(pa.Table.from_pylist(events, EVENT_SCHEMA), path)
    counts: dict[str, int | None] = {
        "rows_fetched": len(events),
        "validate_valid": len(events),
        "validate_rejected": 0,
        "manifest_valid": len(events),
        "manifest_rejected": 0,
        "api_total": len(events),
    }
    history = changes.pop("history", [])
    sha256 = changes.pop("actual_sha256", "aa")
    file = AuditedFile("events.parquet", path, "aa", sha256, len(events))
    with WeekAudit(SETTINGS, folder) as audit:
        audit.load(WEEK, REQUESTED_AT, [file], [], counts | changes)
        audit.load_history(history)
        yield audit


def failed(audit: WeekAudit) -> set[str]:
    return {rule.name for rule in RULES if not apply(rule, audit.value(rule)).passed}


def test_a_week_in_order_passes_every_rule(tmp_path: Path) -> None:
    with audited(tmp_path, whole_week()) as audit:
        assert failed(audit) == set()


USUAL = {"week_start": "2025-12-29", "rows_valid": 7, "null_shares_pct": {"brand": 100.0}}


@pytest.mark.parametrize(
    ("rule", "events", "changes"),
    [
        ("user_id_present", [*whole_week(), event(user_id=" ")], {}),
        ("event_time_in_week", [*whole_week(), event(day=7)], {}),
        ("event_time_in_week", [*whole_week(), event(event_time=WEEK.opens_at - timedelta(microseconds=1))], {}),
        ("price_not_negative", [*whole_week(), event(price=Decimal("-0.0001"))], {}),
        ("counts_agree", whole_week(), {"rows_fetched": 8, "api_total": 8}),
        ("files_as_written", whole_week(), {"actual_sha256": "bb"}),
        ("duplicate_events", [*whole_week(), whole_week()[0]], {}),
        ("event_types_present", [row | {"event_type": "view"} for row in whole_week()], {}),
        ("every_day_has_events", whole_week()[:6], {}),
        ("api_total_reached", whole_week(), {"api_total": 9}),
        ("volume_as_usual", whole_week(), {"history": [USUAL | {"rows_valid": 70}]}),
        ("null_shares_as_usual", whole_week(), {"history": [USUAL | {"null_shares_pct": {"brand": 20.0}}]}),
    ],
)
def test_a_week_that_violates_one_rule_fails_that_rule_alone(
    tmp_path: Path, rule: str, events: list[dict[str, Any]], changes: dict[str, Any]
) -> None:
    with audited(tmp_path, events, **changes) as audit:
        assert failed(audit) == {rule}


def test_too_many_rejects_fail_both_rates(tmp_path: Path) -> None:
    changes = {"rows_fetched": 8, "validate_rejected": 1, "manifest_rejected": 1}
    with audited(tmp_path, whole_week(), **changes) as audit:
        assert {"success_rate", "reject_rate"} <= failed(audit)


def test_an_empty_week_has_too_few_records_and_no_other_number_breaks(tmp_path: Path) -> None:
    with audited(tmp_path, []) as audit:
        assert "min_records" in failed(audit)


def test_only_a_failed_error_rule_fails_the_run() -> None:
    def check(*, severity: str, passed: bool) -> Check:
        return Check(name="r", severity=severity, passed=passed, value=1, threshold=0, unit="x", message="m")

    assert decide([check(severity="warn", passed=False)], 0).status is RunStatus.SUCCESS
    assert decide([check(severity="error", passed=True)], 3).status is RunStatus.SUCCESS_WITH_REJECTS
    ended = decide([check(severity="error", passed=False)], 0)
    assert ended.failure is not None
    assert (ended.status, ended.failure.code) == (RunStatus.FAILED, "quality_gate_failed")


def test_the_reject_rate_is_exact_to_four_decimals() -> None:
    assert reject_rate_pct(2, 1) == Decimal("33.3333")
    assert reject_rate_pct(0, 0) == 0


def test_a_rules_file_that_is_wrong_is_named_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nname = "x"\n')
    with pytest.raises(SettingsError, match=r"rules\.toml.*about"):
        load_rules(path, SETTINGS)


@pytest.mark.parametrize("prices", [("0.0049",), ("0.005",), ("10.0050", "0.0000"), ("0.0100", "0.0100", "0.0149")])
def test_money_is_rounded_half_up_as_by_hand(tmp_path: Path, prices: tuple[str, ...]) -> None:
    events = [event(event_type="purchase", price=Decimal(price), user_session=str(n)) for n, price in enumerate(prices)]
    total = sum((Decimal(price) for price in prices), Decimal(0))
    cent = Decimal("0.01")
    with audited(tmp_path, events) as audit:
        audit.write([signals_query(SETTINGS.customer_tiers)], tmp_path / "signals.parquet")
    (row,) = pq.read_table(tmp_path / "signals.parquet").to_pylist()
    assert row["total_spend_week"] == total.quantize(cent, ROUND_HALF_UP)
    assert row["avg_order_value_week"] == (total / len(prices)).quantize(cent, ROUND_HALF_UP)
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
    with audited(tmp_path, [event(event_type="purchase", price=Decimal(spend))]) as audit:
        audit.write([signals_query(SETTINGS.customer_tiers)], tmp_path / "signals.parquet")
    assert pq.read_table(tmp_path / "signals.parquet").column("customer_tier").to_pylist() == [tier]


def test_the_top_brand_has_most_events_and_ties_go_by_name(tmp_path: Path) -> None:
    brands = ["zeta", "zeta", "alpha", "alpha", "beta", None, None, None]
    with audited(tmp_path, [event(brand=brand) for brand in brands]) as audit:
        audit.write([signals_query(SETTINGS.customer_tiers)], tmp_path / "signals.parquet")
    (row,) = pq.read_table(tmp_path / "signals.parquet").to_pylist()
    assert (row["top_brand"], row["top_category"], row["avg_order_value_week"]) == ("alpha", None, None)

"""Rules and decision over small weeks of known truth."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from libs.common.errors import SettingsError
from libs.common.settings import load_settings
from libs.common.state import RunStatus
from services.gate.adapters import AuditResourcesError, WeekAudit
from services.gate.decision import decide, reject_rate_pct
from services.gate.rules import Check, Rule, apply, load_rules
from services.gate.settings import GateSettings
from tests.unit.gate.conftest import SETTINGS, WEEK, audited, event, whole_week

RULES = load_rules(SETTINGS.gate_rules_file, SETTINGS)


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


def test_memory_threads_and_scratch_are_bounded_by_settings(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"gate_memory_limit": "64MiB", "gate_threads": 1})
    asked = "current_setting('memory_limit'), current_setting('threads'), current_setting('temp_directory')"
    rule = msgspec.structs.replace(RULES[0], failing_rows=f"SELECT {asked}")
    with WeekAudit(settings, tmp_path) as audit:
        audit.sample(rule, 1, tmp_path / "settings.parquet")
    (row,) = pq.read_table(tmp_path / "settings.parquet").to_pylist()
    assert list(row.values()) == ["64.0 MiB", 1, str(tmp_path / "duckdb")]


@pytest.mark.parametrize("limit", ["lots", "0MB", "128", "-1GB"])
def test_a_memory_limit_that_is_none_is_refused_at_the_start(limit: str) -> None:
    with pytest.raises(SettingsError, match="GATE_MEMORY_LIMIT"):
        load_settings(
            GateSettings, _env_file=None, state_url="sqlite://", lake_url="file:///lake", gate_memory_limit=limit
        )


def test_what_the_machine_lacks_is_no_fault_of_the_rule_and_tried_again(tmp_path: Path) -> None:
    hungry = Rule(
        name="hungry",
        about="Needs more than there is.",
        severity="warn",
        comparison=">=",
        threshold=0,
        unit="values",
        sql="SELECT len(list(i::VARCHAR || repeat('x', 1000))) FROM range(1000000) AS numbers(i)",
    )
    with audited(tmp_path, whole_week()) as audit, pytest.raises(AuditResourcesError) as failed_for:
        audit.value(hungry)
    assert failed_for.value.transient
    assert "GATE_MEMORY_LIMIT" in failed_for.value.next_step

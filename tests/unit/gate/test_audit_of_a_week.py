"""Rules and decision over small weeks of known truth."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from libs.common.state import RunStatus
from services.gate.adapters import WeekAudit
from services.gate.decision import decide, reject_rate_pct
from services.gate.rules import Check, apply, load_rules
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

"""Weeks of known truth, each of which breaks exactly one rule, through the whole handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from libs.common.lake import paths
from libs.common.settings import load_settings
from libs.common.state import Run, RunStatus, StageStatus
from libs.common.week import Week
from services.gate.rules import load_rules
from services.gate.settings import GateSettings
from tests.integration.gate.conftest import WEEK, Gate, Staged

SETTINGS = load_settings(GateSettings, _env_file=None, state_url="sqlite://", lake_url="file:///lake")
RULES = {rule.name: rule for rule in load_rules(SETTINGS.gate_rules_file, SETTINGS)}
RUN = "r1"
LAST_WEEK = Week(WEEK.start - timedelta(days=7), WEEK.end - timedelta(days=7))


@dataclass(frozen=True)
class Case:
    """A week that breaks one rule: the number that the rule must find, and how many rows, if it can name them."""

    rule: str
    week: Callable[[Gate], Staged]
    value: float
    failing_rows: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    after_a_usual_week: bool = False


def and_(*changes: dict[str, Any]) -> Callable[[Gate], Staged]:
    """A whole week and events with these changes."""
    return lambda gate: Staged(events=[*gate.whole_week(), *(gate.event(**change) for change in changes)], rejects=1)


ERRORS = [
    Case("min_records", and_(), 7, settings={"min_records": 8}),
    Case("user_id_present", and_({"user_id": " "}, {"user_id": None}), 2, failing_rows=2),
    Case("event_time_in_week", and_({"day": 7}), 1, failing_rows=1),
    Case("event_time_in_week", and_({"event_time": WEEK.closes_at}), 1, failing_rows=1),
    Case("event_time_in_week", and_({"event_time": WEEK.opens_at - timedelta(microseconds=1)}), 1, failing_rows=1),
    Case("price_not_negative", and_({"price": Decimal("-0.0001")}), 1, failing_rows=1),
    Case(
        "success_rate",
        lambda gate: Staged(events=gate.whole_week(), rejects=1),
        87.5,
        settings={"reject_threshold_pct": 100, "min_success_rate_pct": 87.6},
    ),
    Case(
        "reject_rate",
        lambda gate: Staged(events=gate.whole_week(), rejects=1),
        12.5,
        settings={"reject_threshold_pct": 12.4, "min_success_rate_pct": 0},
    ),
    Case("counts_agree", lambda gate: Staged(events=gate.whole_week(), rejects=1, rows_fetched=9), 1),
    Case(
        "files_as_written",
        lambda gate: Staged(events=gate.whole_week(), rejects=1, lie_about_sha256=True),
        1,
        failing_rows=1,
    ),
]
WARNINGS = [
    Case("duplicate_events", lambda gate: Staged(events=[*gate.whole_week(), gate.whole_week()[0]]), 12.5),
    Case("event_types_present", lambda gate: Staged(events=gate.whole_week(event_type="view")), 2),
    Case("every_day_has_events", lambda gate: Staged(events=gate.whole_week()[:5]), 2),
    Case("api_total_reached", lambda gate: Staged(events=gate.whole_week(), api_total=10), 3),
    Case(
        "volume_as_usual",
        lambda gate: Staged(events=[*gate.whole_week(), *gate.whole_week(user_id="x")]),
        100,
        after_a_usual_week=True,
    ),
    Case("null_shares_as_usual", lambda gate: Staged(events=gate.whole_week(brand=None)), 100, after_a_usual_week=True),
]
GENEROUS = {"reject_threshold_pct": 50, "min_success_rate_pct": 50}


async def ended(gate: Gate, case: Case) -> Run:
    """The run of the week, after a usual one where the rule compares with that."""
    usual = [LAST_WEEK][: case.after_a_usual_week]
    for week in usual:
        await gate.gated("usual", Staged(events=gate.whole_week(week)), week)
    return await gate.gated(RUN, case.week(gate), settings=GENEROUS | case.settings)


def by_rule(case: Case) -> str:
    return case.rule


def test_every_shipped_rule_has_a_week_that_breaks_it() -> None:
    assert {case.rule for case in ERRORS} == {name for name, rule in RULES.items() if rule.severity == "error"}
    assert {case.rule for case in WARNINGS} == {name for name, rule in RULES.items() if rule.severity == "warn"}


async def test_a_week_in_order_passes_every_rule(gate: Gate) -> None:
    await gate.gated("usual", Staged(events=gate.whole_week(LAST_WEEK)), LAST_WEEK)
    run = await gate.gated(RUN, Staged(events=gate.whole_week()))
    checks = (await gate.stage(RUN)).details["checks"]
    assert run.status is RunStatus.SUCCESS
    assert {check["name"]: check["passed"] for check in checks} == dict.fromkeys(RULES, True)
    assert [check["name"] for check in checks if check["value"] is None] == []


@pytest.mark.parametrize("case", ERRORS, ids=by_rule)
async def test_a_broken_rule_of_severity_error_fails_the_run_with_every_figure_and_publishes_nothing(
    gate: Gate, case: Case
) -> None:
    await gate.gated("before", Staged(events=gate.whole_week(LAST_WEEK)), LAST_WEEK)
    before, checkpoint = await gate.published(), await gate.kit.state.checkpoint("p")
    with capture_logs() as logs:
        run = await ended(gate, case)

    assert (run.status, run.rows_output, run.rows_rejected) == (RunStatus.FAILED, 0, 1)
    assert run.error is not None
    assert (run.error.code, case.rule in run.error.message) == ("quality_gate_failed", True)
    stage = await gate.stage(RUN)
    assert (stage.status, stage.failure) == (StageStatus.FAILED, run.error)
    assert [check["name"] for check in stage.details["checks"]] == list(RULES)
    failed = await gate.failed_checks(RUN)
    assert set(failed) == {case.rule}
    assert failed[case.rule]["value"] == pytest.approx(case.value)
    assert failed[case.rule]["failing_rows"] == case.failing_rows
    assert await gate.published() == before
    assert await gate.kit.state.checkpoint("p") == checkpoint
    assert [message.run_id for message in gate.announced()] == ["before"]
    rejects = paths.staged_rejects_file(RUN, 0)
    assert (stage.details["files"]["rejects"], len(await gate.rows(rejects))) == ([rejects], 1)
    assert [(log["kind"], log["code"]) for log in logs if log["event"] == "alert"] == [
        ("run_failed", "quality_gate_failed")
    ]


@pytest.mark.parametrize("case", WARNINGS, ids=by_rule)
async def test_a_broken_rule_of_severity_warn_is_recorded_and_the_week_published(gate: Gate, case: Case) -> None:
    with capture_logs() as logs:
        run = await ended(gate, case)
    failed = await gate.failed_checks(RUN)
    assert run.status is RunStatus.SUCCESS
    assert {name: check["value"] for name, check in failed.items()} == {case.rule: pytest.approx(case.value)}
    assert failed[case.rule]["severity"] == "warn"
    assert paths.curated_manifest(WEEK.start, WEEK.end) in await gate.published()
    assert [log for log in logs if log["event"] == "alert"] == []


async def test_failing_rows_are_stored_as_a_bounded_sample_with_their_total(gate_on_each: Gate) -> None:
    gate = gate_on_each
    bad = [gate.event(price=Decimal(-1), user_session=str(number)) for number in range(7)]
    run = await gate.gated(RUN, Staged(events=[*gate.whole_week(), *bad]), settings={"gate_sample_rows": 3})
    check = (await gate.failed_checks(RUN))["price_not_negative"]
    assert (check["failing_rows"], check["sample"]) == (7, f"runs/{RUN}/checks/price_not_negative.parquet")
    sample = await gate.rows(check["sample"])
    assert [row["price"] for row in sample] == [Decimal(-1)] * 3
    assert run.error is not None
    assert check["sample"] in run.error.message
    assert list(gate.kit.scratch.iterdir()) == []


async def test_a_failed_week_is_judged_anew_when_its_message_is_replayed_under_other_rules(gate: Gate) -> None:
    message = await gate.staged(RUN, Staged(events=gate.whole_week()))
    await gate.handle(message, min_records=8)
    assert (await gate.run(RUN)).status is RunStatus.FAILED
    await gate.kit.state.reopen_run(RUN, gate.kit.clock.now())
    await gate.handle(message, min_records=7)
    assert (await gate.run(RUN)).status is RunStatus.SUCCESS

"""`retl sync show`: was it sent, with what values, and what did Salesforce say?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.command import Ended

Retl = Callable[..., Ended]
WEEK = "2026-01-05"


def test_what_salesforce_accepted_is_shown_with_its_values(pipeline: Any, call: Retl) -> None:
    row = pipeline.rows()[0]
    shown = call(pipeline, "sync", "show", "--customer", row["external_customer_id"], "--week", WEEK, "--json")
    assert shown.status == 0, shown.err
    (held,) = shown.result["accepted"]
    assert held["external_id"] == row["external_signal_id"]
    assert held["values"]["Total_Spend_Week__c"] == str(row["total_spend_week"])
    assert held["values"]["Views_Week__c"] == str(row["views_week"])
    assert held["in_doubt"] is False
    (change,) = shown.result["changes"]
    assert (change["operation"], change["status"], change["attempts"]) == ("create", "accepted", 1)
    assert change["salesforce_id"] == held["salesforce_id"]


def test_a_person_reads_the_id_the_values_and_the_sendings(pipeline: Any, start: Retl) -> None:
    row = pipeline.rows()[0]
    shown = start(pipeline, "sync", "show", "--customer", row["external_customer_id"])
    assert shown.status == 0, shown.err
    assert f"Salesforce holds {row['external_signal_id']} as " in shown.out
    assert ["Customer_Tier__c", row["customer_tier"]] in [line.split() for line in shown.out.splitlines()]
    assert "create accepted" in shown.out


def test_an_unknown_customer_is_an_error_with_the_next_step(pipeline: Any, call: Retl) -> None:
    shown = call(pipeline, "sync", "show", "--customer", "nobody", "--week", WEEK)
    assert (shown.status, shown.out) == (1, "")
    assert "Customer nobody has no row in the sync of week 2026-01-05..2026-01-11." in shown.err
    assert "Next: Check the id" in shown.err


def test_a_week_that_was_never_synced_says_so(pipeline: Any, call: Retl) -> None:
    shown = call(pipeline, "sync", "show", "--customer", "nobody", "--week", "2025-12-29")
    assert shown.status == 1
    assert "There is no snapshot of week 2025-12-29..2026-01-04 yet" in shown.err


def test_a_lake_without_any_sync_says_so(pipeline: Any, call: Retl, tmp_path: Path) -> None:
    shown = call(pipeline, "sync", "show", "--customer", "nobody", LAKE_URL=tmp_path.as_uri())
    assert shown.status == 1
    assert "There is no snapshot yet" in shown.err


def test_a_day_that_starts_no_week_is_wrong_usage(pipeline: Any, call: Retl) -> None:
    shown = call(pipeline, "sync", "show", "--customer", "nobody", "--week", "2026-01-07")
    assert shown.status == 2
    assert "is a Wednesday" in shown.err


def test_what_is_no_date_is_wrong_usage(pipeline: Any, call: Retl) -> None:
    shown = call(pipeline, "sync", "show", "--customer", "nobody", "--week", "last")
    assert shown.status == 2
    assert "--week" in shown.err


def test_without_a_customer_it_is_wrong_usage(pipeline: Any, call: Retl) -> None:
    assert call(pipeline, "sync", "show").status == 2


def test_the_help_tells_both_commands_apart(pipeline: Any, call: Retl) -> None:
    told = call(pipeline, "sync", "--help")
    assert told.status == 0
    assert "Was this customer's row sent" in told.out
    assert "send nothing" in told.out

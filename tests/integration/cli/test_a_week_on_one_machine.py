"""The whole chain as a user meets it: five services, the bus and Salesforce as processes under `retl`."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest

from libs.emulators.events_api.generator import GeneratorOptions
from libs.emulators.events_api.span import Span
from libs.emulators.events_api.truth import expected
from tests.integration.demo_week import EVENTS, DemoWeek


def query(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as db:
        return db.execute(sql).fetchall()


def test_the_demo_tells_the_truth_about_the_generated_week(demo: DemoWeek) -> None:
    result = demo.result
    options = GeneratorOptions(
        events=EVENTS, seed=7, bad_pct=Fraction(1), drift_pct=Fraction(0), time_format="rees46", id_format="number"
    )
    truth = expected(options, Span.parse(str(result["week_start"]), str(result["week_end"])))
    assert (result["rows_fetched"], result["rows_valid"], result["rows_rejected"]) == (
        truth.rows,
        truth.valid,
        truth.rejected,
    )
    assert result["status"] == "SUCCESS_WITH_REJECTS"
    assert result["sync"] == {"created": len(truth.customers), "updated": 0, "unchanged": 0, "failed": 0}
    signals = query(
        f"SELECT external_customer_id, total_spend_week, orders_week FROM '{result['files']['signals'][0]}'"
    )
    assert {(customer, spend, orders) for customer, spend, orders in signals} == {
        (customer, told.total_spend.quantize(Decimal("0.01")), told.orders)
        for customer, told in truth.customers.items()
    }
    assert set(result["stages"]) == {"EXTRACT", "VALIDATE", "LOAD", "QUALITY_GATE", "SALESFORCE_SYNC"}
    assert result["error"] is None


@pytest.mark.parametrize("service", ["extractor", "validator", "loader", "gate", "sf_sync"])
def test_all_that_a_service_logs_from_its_start_to_its_end_are_lines_of_json(demo: DemoWeek, service: str) -> None:
    lines = (demo.folder / "logs" / f"{service}.log").read_text().splitlines()
    assert {json.loads(line)["service"] for line in lines} == {service}


def test_an_interrupted_week_is_gone_on_with_a_done_one_skipped_and_a_forced_one_sends_nothing_that_did_not_change(
    called_retl: Callable[..., Any], interrupted_retl: Callable[..., Any], events_api: Callable[..., str]
) -> None:
    settings = {"API_BASE_URL": events_api("--events", "500", "--api-key", "k"), "API_KEY": "k"}
    week = ("run", "--week-start", "2026-01-05", "--data-dir", "data", "--json")
    # The loader never ends its work, so that the interruption finds the week half done.
    hang = {"FAILPOINT": "before_work@service=loader:hang", "STOP_GRACE_SEC": "0"}
    interrupted = interrupted_retl(*week, until="validate: success", **hang, **settings)
    assert interrupted.status == 130
    done = called_retl(*week, **settings)
    assert (done.status, done.result["status"]) == (0, "SUCCESS"), done.err
    assert "going on with it" in done.err
    assert done.result["rows_fetched"] == 500
    again = called_retl(*week, **settings)
    assert (again.status, again.result["status"]) == (0, "SKIPPED"), again.err
    forced = called_retl(*week, "--force", **settings)
    assert (forced.status, forced.result["status"]) == (0, "SUCCESS"), forced.err
    assert forced.result["sync"]["created"] == forced.result["sync"]["updated"] == 0
    assert forced.result["sync"]["unchanged"] == done.result["sync"]["created"] > 0


@pytest.mark.parametrize(
    ("options", "key", "code"),
    [
        (("--api-key", "right"), "wrong", "api_unauthorised"),
        (("--api-key", "k", "--events", "300", "--bad-pct", "100"), "k", "quality_gate_failed"),
    ],
    ids=["wrong key", "nothing but bad records"],
)
def test_a_failure_ends_with_code_and_next_step_and_publishes_nothing(
    retl: Callable[..., Any],
    events_api: Callable[..., str],
    tmp_path: Path,
    options: tuple[str, ...],
    key: str,
    code: str,
) -> None:
    base_url = events_api(*options)
    week = ("run", "--week-start", "2026-01-05", "--data-dir", "data", "--json")
    done = retl(*week, API_BASE_URL=base_url, API_KEY=key)
    assert done.status == 1
    assert done.result["status"] == "FAILED"
    assert done.result["error"]["code"] == code
    assert done.result["error"]["next_step"]
    assert code in done.err
    assert not (tmp_path / "data/lake/curated").exists()


def test_a_week_that_ends_before_it_starts_is_wrong_usage_and_leaves_a_trace(called_retl: Callable[..., Any]) -> None:
    done = called_retl(
        "run", "--week-start", "2026-01-05", "--week-end", "2026-01-01", "--json", API_BASE_URL="http://127.0.0.1:9"
    )
    assert done.status == 2
    assert (done.result["status"], done.result["error"]["code"]) == ("FAILED", "week_invalid")


def test_a_rehearsal_publishes_nothing(
    called_retl: Callable[..., Any], events_api: Callable[..., str], tmp_path: Path
) -> None:
    settings = {"API_BASE_URL": events_api("--events", "500", "--api-key", "k"), "API_KEY": "k"}
    done = called_retl("run", "--week-start", "2026-01-05", "--data-dir", "data", "--dry-run", "--json", **settings)
    assert (done.status, done.result["status"]) == (0, "SUCCESS"), done.err
    assert done.result["checkpoint"] == {"next_week_start": None, "next_week_end": None}
    would_change = done.result["would_change"]
    assert [len(paths) for paths in would_change.pop("files").values()] == [1, 0, 1]
    assert would_change == {"replaced_run": None, "replaced_rows": None, "next_week": "2026-01-12..2026-01-18"}
    assert not (tmp_path / "data/lake/curated").exists()

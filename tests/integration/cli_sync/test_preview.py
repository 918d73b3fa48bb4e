"""`retl sync preview`: what a sync would send, without sending it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.integration.command import Ended

Retl = Callable[..., Ended]
COUNTS = ("rows", "create", "update", "unchanged", "invalid")


def counts(found: dict[str, Any]) -> tuple[int, ...]:
    return tuple(found[name] for name in COUNTS)


def rewrite(pipeline: Any, rows: list[dict[str, Any]]) -> None:
    schema = pq.read_schema(pipeline.signals)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), pipeline.signals)


def test_a_week_that_salesforce_holds_already_leaves_every_row(pipeline: Any, start: Retl) -> None:
    previewed = start(pipeline, "sync", "preview", "--json")
    assert previewed.status == 0, previewed.err
    rows = len(pipeline.rows())
    assert counts(previewed.result) == (rows, 0, 0, rows, 0)
    assert previewed.result["first_sync"] is False


def test_changed_new_and_unsendable_rows_are_counted_and_shown(
    pipeline_of_my_own: Callable[..., Any], call: Retl
) -> None:
    pipeline = pipeline_of_my_own()
    first, second, *others = pipeline.rows()
    dearer = first | {"total_spend_week": Decimal("4711.00")}
    fresh = first | {"external_signal_id": "new|2026-01-05", "external_customer_id": "new"}
    rewrite(pipeline, [dearer, fresh, second | {"external_signal_id": "  "}, *others])
    previewed = call(pipeline, "sync", "preview", "--week", "2026-01-05", "--json")
    assert previewed.status == 0, previewed.err
    rows = len(others) + 3
    assert counts(previewed.result) == (rows, 1, 1, len(others), 1)
    assert previewed.result["absent"] == 1
    samples = previewed.result["samples"]
    (update,) = samples["update"]
    held = str(first["total_spend_week"])
    assert update == {
        "external_id": first["external_signal_id"],
        "fields": {"Total_Spend_Week__c": [held, "4711.00"]},
    }
    assert samples["create"][0]["external_id"] == "new|2026-01-05"
    assert samples["invalid"][0]["code"] == "blank_external_id"
    told = call(pipeline, "sync", "preview")
    assert f"{rows:,} rows, 1 create, 1 update" in told.out
    assert f"{held}" in told.out
    assert "→" in told.out
    assert "4711.00" in told.out


def test_a_full_sync_would_send_every_row(pipeline: Any, call: Retl) -> None:
    found = call(pipeline, "sync", "preview", "--full", "--samples", "1", "--json").result
    rows = len(pipeline.rows())
    assert counts(found) == (rows, 0, rows, 0, 0)
    assert len(found["samples"]["update"]) == 1


def test_before_the_first_sync_it_says_that_there_is_no_snapshot(
    pipeline_of_my_own: Callable[..., Any], call: Retl
) -> None:
    pipeline = pipeline_of_my_own(ignore="customer_weekly_metric")
    told = call(pipeline, "sync", "preview")
    assert told.status == 0, told.err
    assert "There is no snapshot of this week yet" in told.out
    assert f"{len(pipeline.rows()):,} create, 0 update, 0 unchanged" in told.out


def test_a_week_without_a_successful_run_is_an_error(pipeline: Any, preview: Retl) -> None:
    previewed = preview(pipeline, "--week", "2025-12-29")
    assert (previewed.status, previewed.out) == (1, "")
    assert "Week 2025-12-29..2026-01-04 of ecommerce_customer_weekly has no successful run" in previewed.err


def test_a_day_that_starts_no_week_is_wrong_usage(pipeline: Any, call: Retl, preview: Retl) -> None:
    previewed = preview(pipeline, "--week", "2026-01-07")
    assert previewed.status == 2
    assert "is a Wednesday" in previewed.err
    assert call(pipeline, "sync", "preview", "--week", "soon").status == 2


def test_a_login_that_salesforce_refuses_is_told_with_the_next_step(pipeline: Any, call: Retl) -> None:
    previewed = call(pipeline, "sync", "preview", SF_CLIENT_SECRET="wrong-secret")
    assert previewed.status == 1
    assert "sf_login_failed" in previewed.err
    assert "wrong-secret" not in previewed.err


def test_a_missing_login_is_wrong_settings(pipeline: Any, preview: Retl) -> None:
    previewed = preview(pipeline, SF_CLIENT_SECRET="")
    assert previewed.status == 2
    assert "SF_CLIENT_SECRET" in previewed.err

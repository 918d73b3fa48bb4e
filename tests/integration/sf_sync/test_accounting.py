"""Every row that was sent has one outcome, or the stage fails; every row that was not says why."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from services.sf_sync.errors import (
    JobStillRunningError,
    OutcomesIncompleteError,
    SalesforceUnavailableError,
    TooManyRejectedError,
)


def table(bench: Any, name: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """As an analyst reads one of the logs: all weeks and rounds as one table."""
    files = bench.folder / "lake" / "sync" / "customer_weekly_metric" / name / "**" / "*.parquet"
    with duckdb.connect() as connection:
        query = f"SELECT {columns} FROM read_parquet('{files}', union_by_name = true) ORDER BY ALL"
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("wrong", [{"lost": 3}, {"lost": 3, "repeated": True}])
async def test_outcomes_that_do_not_add_up_fail_the_sync_until_salesforce_tells_all(
    bench: Any, make: Any, wrong: dict[str, Any]
) -> None:
    bench.emulator.faults({"kind": "wrong_results", **wrong})
    message = await bench.passed("r1", make.signals(20))
    with pytest.raises(OutcomesIncompleteError, match="got 20 rows and reports on"):
        await bench.handle(message)
    assert (await bench.stage("r1")).finished_at is None
    await bench.handle(message)
    details = (await bench.stage("r1")).details
    assert (details["created"], details["failed"]) == (20, 0)
    assert set(bench.emulator.attempts().values()) == {1}


@pytest.mark.parametrize("rows_a_page", [7, 20, 1000])
async def test_results_that_come_in_pages_are_read_to_the_last(bench: Any, make: Any, rows_a_page: int) -> None:
    rows = make.signals(20)
    failing = [row["external_signal_id"] for row in rows[:9]]
    bench.emulator.faults(
        {"kind": "result_pages", "rows": rows_a_page},
        {"kind": "row_lock", "external_ids": failing},
        {"kind": "job_failed", "after_rows": 15},
    )
    details = await bench.synced("r1", rows)
    assert (details["created"], details["failed"], details["retried"]) == (20, 0, 9 + 5)


@pytest.mark.parametrize("broken_off", [[], [{"kind": "dropped_connection", "call": "job_results", "when": "during"}]])
async def test_results_that_come_compressed_are_read_whole_or_again(
    bench: Any, make: Any, broken_off: list[dict[str, Any]]
) -> None:
    cut = [fault | {"after_bytes": 2_000} for fault in broken_off]
    bench.emulator.faults({"kind": "gzip_results"}, *cut)
    details = await bench.synced("r1", make.signals(200))
    assert (details["created"], details["failed"]) == (200, 0)
    assert bench.emulator.calls("job_results") == 3 + len(cut)
    assert len(bench.emulator.records()) == 200


async def test_the_logs_tell_accepted_rejected_and_invalid_rows_apart_with_what_was_sent(bench: Any, make: Any) -> None:
    good, bad, blank, long = (make.signal(name) for name in ("good", "bad", "blank", "long"))
    twice = [make.signal("twice"), make.signal("TWICE")]
    blank["external_signal_id"], long["top_brand"] = "  ", "x" * 256
    error = {"code": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": 'No, "never": not so', "fields": ["Top_Brand__c"]}
    bench.emulator.faults({"kind": "row_error", "external_ids": [bad["external_signal_id"]], **error})
    details = await bench.synced("r1", [good, bad, blank, long, *twice], sf_max_error_rate_pct=Decimal(100))
    counts = {name: details[name] for name in ("created", "updated", "unchanged", "failed", "invalid")}
    assert counts == {"created": 1, "updated": 0, "unchanged": 0, "failed": 1, "invalid": 4}
    told = table(bench, "sync_changes", "customer_id, status, code, kind, message, attempts")
    assert told == [
        ("TWICE", "invalid", "repeated_external_id", "permanent", "External_Signal_Id__c", 0),
        ("bad", "rejected", error["code"], "permanent", 'No, "never": not so:Top_Brand__c', 1),
        ("blank", "invalid", "blank_external_id", "permanent", "External_Signal_Id__c", 0),
        ("good", "accepted", None, None, None, 1),
        ("long", "invalid", "too_long", "permanent", "Top_Brand__c", 0),
        ("twice", "invalid", "repeated_external_id", "permanent", "External_Signal_Id__c", 0),
    ]
    payloads = dict(table(bench, "sync_changes", "customer_id, payload"))
    assert json.loads(payloads["bad"])["Total_Spend_Week__c"] == "120.50"
    assert json.loads(payloads["long"])["Top_Brand__c"] == "x" * 256
    assert table(bench, "snapshot", "customer_id, Total_Spend_Week__c") == [("good", "120.50")]
    ((*_, created, failed, invalid),) = table(bench, "sync_runs", "run_id, created, failed, invalid")
    assert (created, failed, invalid) == (1, 1, 4)


async def test_more_invalid_rows_than_allowed_fail_the_stage_and_send_the_others(bench: Any, make: Any) -> None:
    rows = make.signals(8)
    message = await bench.passed("r1", [*rows, make.signal("a", top_brand="#N/A"), make.signal("b", top_brand="#N/A")])
    with pytest.raises(TooManyRejectedError, match=r"2 invalid \(20.00 %, allowed 10.0 %\): reserved_text: 2"):
        await bench.handle(message)
    assert len(bench.emulator.records()) == 8


async def test_halving_ends_where_the_org_s_allowance_does(bench: Any, make: Any, start_emulator: Any) -> None:
    poor = start_emulator("--daily-api-requests", "100")
    poor.faults({"kind": "batch_error", "max_rows": 0})
    message = await bench.passed("r1", make.signals(64))
    with pytest.raises(TooManyRejectedError, match="CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY: 64"):
        await bench.handle(message, sf_login_url=poor.url, sf_collections_below=2000)
    assert poor.stats()["api_calls"] <= 90


@pytest.mark.parametrize("below", [0, 2000])
async def test_the_cost_of_a_sync_counts_every_attempt_s_calls(bench: Any, make: Any, below: int) -> None:
    message = await bench.passed("r1", make.signals(20))
    refused = {"job_create": 1, "collections": 4}  # as often as one attempt tries
    bench.emulator.faults(*({"kind": "http_error", "call": call, "times": times} for call, times in refused.items()))
    with pytest.raises(SalesforceUnavailableError):
        await bench.handle(message, sf_collections_below=below)
    await bench.handle(message, sf_collections_below=below)
    details = (await bench.stage("r1")).details
    assert details["created"] == 20
    assert details["api_calls"] == sum(bench.emulator.stats()["calls"].values())


async def test_a_week_without_rows_is_a_success_that_sends_nothing(bench: Any) -> None:
    details = await bench.synced("r1", [])
    assert (details["created"], details["failed"], details["invalid"], details["warning"]) == (0, 0, 0, None)
    assert bench.emulator.calls("job_create") == 0


async def test_rows_that_are_halved_into_less_than_a_call_holds_go_by_calls_not_by_jobs(bench: Any, make: Any) -> None:
    bench.emulator.faults({"kind": "batch_error", "max_rows": 50})
    details = await bench.synced("r1", make.signals(300), sf_collections_below=10)
    assert (details["created"], details["failed"], details["jobs"]) == (300, 0, 1)
    assert bench.emulator.calls("job_create") == 1


async def test_jobs_that_take_longer_together_than_an_attempt_has_are_gone_on_with_by_the_next(
    bench: Any, make: Any
) -> None:
    message = await bench.passed("r1", make.signals(10))
    settings = {"sf_job_max_rows": 2, "sf_concurrent_jobs": 1}
    bench.emulator.faults({"kind": "slow_job", "seconds": 0.7, "times": 5})
    with pytest.raises(JobStillRunningError):
        await bench.handle(message, sf_job_wait_sec=1.0, **settings)
    assert bench.emulator.calls("job_create") < 5
    await bench.handle(message, **settings)
    assert (await bench.stage("r1")).details["created"] == 10
    assert bench.emulator.calls("job_create") == 5
    assert set(bench.emulator.attempts().values()) == {1}

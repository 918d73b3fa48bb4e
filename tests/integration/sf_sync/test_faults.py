"""Salesforce misbehaves in every way that it is known to; the records still come out equal to the signals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from libs.common.errors import is_transient
from services.sf_sync.errors import JobStillRunningError, SalesforceLimitError, TooManyRejectedError

CPU = {"kind": "batch_error", "max_rows": 12}


def keys(rows: list[dict[str, Any]]) -> list[str]:
    return [row["external_signal_id"] for row in rows]


async def test_locked_rows_are_sent_again_and_no_others(bench: Any, make: Any) -> None:
    rows = make.signals(40)
    locked = keys(rows)[3:9]
    bench.emulator.faults({"kind": "row_lock", "external_ids": locked, "times": 2})
    details = await bench.synced("r1", rows)
    assert (details["created"], details["failed"], details["retried"]) == (40, 0, 12)
    attempts = bench.emulator.attempts()
    assert {attempts[key] for key in locked} == {3}
    assert {times for key, times in attempts.items() if key not in locked} == {1}


async def test_rows_that_stay_locked_fail_with_their_code_and_come_again_next_time(bench: Any, make: Any) -> None:
    rows = make.signals(40)
    locked = keys(rows)[:2]
    bench.emulator.faults({"kind": "row_lock", "external_ids": locked, "times": 4})
    details = await bench.synced("r1", rows, sf_row_retries=3)
    assert (details["created"], details["failed"]) == (38, 2)
    assert details["top_codes"] == {"UNABLE_TO_LOCK_ROW": 2}
    assert "UNABLE_TO_LOCK_ROW" in details["warning"]
    details = await bench.synced("r2", rows, force=True)
    assert (details["created"], details["unchanged"], details["failed"]) == (2, 38, 0)


async def test_rows_that_overrun_a_governor_limit_together_are_halved_until_they_pass(bench: Any, make: Any) -> None:
    bench.emulator.faults(CPU)
    details = await bench.synced("r1", make.signals(40))
    assert (details["created"], details["failed"]) == (40, 0)
    assert bench.emulator.calls("job_create") == 1 + 2 + 4  # 40 together, 20 and 20, 10 four times
    assert set(bench.emulator.attempts().values()) == {1}


async def test_a_call_of_the_collections_api_is_halved_too(bench: Any, make: Any) -> None:
    bench.emulator.faults(CPU)
    details = await bench.synced("r1", make.signals(40), sf_collections_below=2000)
    assert (details["created"], details["failed"], details["jobs"]) == (40, 0, 0)
    assert bench.emulator.calls("job_create") == 0


async def test_a_single_row_that_overruns_a_limit_alone_is_given_up(bench: Any, make: Any) -> None:
    bench.emulator.faults({"kind": "row_error", "external_ids": ["c000000|2026-01-05"], "code": "APEX_ERROR",
                           "message": "System.LimitException: Apex CPU time limit exceeded"})  # fmt: skip
    details = await bench.synced("r1", make.signals(16))
    assert (details["created"], details["failed"]) == (15, 1)
    assert bench.emulator.attempts()["c000000|2026-01-05"] == 2  # in company, and alone


@pytest.mark.parametrize("call", ["job_poll", "job_results", "describe", "limits"])
async def test_reads_that_fail_in_passing_cost_nothing(bench: Any, make: Any, call: str) -> None:
    bench.emulator.faults({"kind": "http_error", "call": call, "times": 2})
    details = await bench.synced("r1", make.signals(10), sf_http_retries=3)
    assert details["created"] == 10
    assert set(bench.emulator.attempts().values()) == {1}


async def test_a_poll_that_fails_again_and_again_neither_aborts_nor_repeats_the_job(bench: Any, make: Any) -> None:
    bench.emulator.faults({"kind": "slow_job", "seconds": 0.3}, {"kind": "http_error", "call": "job_poll", "times": 7})
    details = await bench.synced("r1", make.signals(10))
    assert (details["created"], bench.emulator.calls("job_create")) == (10, 1)


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("after_calls", range(12))
async def test_a_session_that_expires_at_any_call_is_renewed(
    bench: Any, make: Any, status: int, after_calls: int
) -> None:
    bench.emulator.faults({"kind": "session_expired", "after_calls": after_calls, "status": status})
    details = await bench.synced("r1", make.signals(10))
    assert details["created"] == 10
    assert set(bench.emulator.attempts().values()) == {1}


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("after_calls", range(5))
async def test_a_session_that_expires_between_calls_of_the_collections_api_is_renewed(
    bench: Any, make: Any, status: int, after_calls: int
) -> None:
    bench.emulator.faults({"kind": "session_expired", "after_calls": after_calls, "status": status})
    details = await bench.synced("r1", make.signals(450), sf_collections_below=2000)
    assert (details["created"], details["failed"]) == (450, 0)
    assert set(bench.emulator.attempts().values()) == {1}
    assert bench.emulator.calls("token") == 2


@pytest.mark.parametrize(
    ("call", "below", "jobs"), [("job_upload", 0, 3), ("job_state", 0, 1), ("collections", 2000, 0)]
)
async def test_a_changing_call_that_is_answered_503_twice_is_made_again_without_a_row_sent_twice(
    bench: Any, make: Any, call: str, below: int, jobs: int
) -> None:
    bench.emulator.faults({"kind": "http_error", "call": call, "times": 2})
    details = await bench.synced("r1", make.signals(20), sf_collections_below=below)
    assert (details["created"], bench.emulator.calls("job_create")) == (20, jobs)
    assert set(bench.emulator.attempts().values()) == {1}


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_call_of_the_collections_api_without_an_answer_is_repeated(bench: Any, make: Any, when: str) -> None:
    bench.emulator.faults({"kind": "dropped_connection", "call": "collections", "when": when})
    details = await bench.synced("r1", make.signals(20), sf_collections_below=2000)
    assert (details["created"] + details["updated"], details["failed"]) == (20, 0)
    assert set(bench.emulator.attempts().values()) == {2 if when == "after" else 1}


@pytest.mark.parametrize("after_rows", [0, 7, 20])
async def test_what_a_failed_job_left_unprocessed_goes_into_another_job(bench: Any, make: Any, after_rows: int) -> None:
    bench.emulator.faults({"kind": "job_failed", "after_rows": after_rows})
    details = await bench.synced("r1", make.signals(20))
    assert (details["created"], details["failed"]) == (20, 0)
    assert set(bench.emulator.attempts().values()) == {1}


@pytest.mark.parametrize("when", ["before", "during", "after"])
async def test_an_upload_that_breaks_off_begins_again_with_another_job(bench: Any, make: Any, when: str) -> None:
    bench.emulator.faults({"kind": "dropped_connection", "call": "job_upload", "when": when, "after_bytes": 500})
    details = await bench.synced("r1", make.signals(200))
    assert (details["created"], bench.emulator.calls("job_create")) == (200, 2)
    assert set(bench.emulator.attempts().values()) == {1}


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_handover_without_an_answer_is_looked_into_not_repeated(bench: Any, make: Any, when: str) -> None:
    bench.emulator.faults({"kind": "dropped_connection", "call": "job_state", "when": when})
    details = await bench.synced("r1", make.signals(20))
    assert (details["created"], bench.emulator.calls("job_create")) == (20, 1)
    assert set(bench.emulator.attempts().values()) == {1}


async def test_a_download_of_results_that_breaks_off_is_begun_again(bench: Any, make: Any) -> None:
    bench.emulator.faults({"kind": "dropped_connection", "call": "job_results", "when": "during", "after_bytes": 900})
    details = await bench.synced("r1", make.signals(200))
    assert (details["created"], details["failed"]) == (200, 0)


async def test_a_job_slower_than_our_patience_is_taken_up_by_the_next_attempt(bench: Any, make: Any) -> None:
    message = await bench.passed("r1", make.signals(20))
    bench.emulator.faults({"kind": "slow_job", "seconds": 1.0})
    with pytest.raises(JobStillRunningError):
        await bench.handle(message, sf_job_wait_sec=0.1)
    await bench.handle(message)
    assert (await bench.stage("r1")).details["created"] == 20
    assert bench.emulator.calls("job_create") == 1
    assert set(bench.emulator.attempts().values()) == {1}


async def test_too_many_rejected_rows_fail_the_stage_with_codes_and_ids(bench: Any, make: Any) -> None:
    rows = make.signals(20)
    bad = {"kind": "row_error", "external_ids": keys(rows)[:3], "code": "DUPLICATES_DETECTED", "message": "Use one of"}
    bench.emulator.faults(bad)
    message = await bench.passed("r1", rows)
    with pytest.raises(TooManyRejectedError, match=r"DUPLICATES_DETECTED: 3 \(e.g. c000000\|2026-01-05, "):
        await bench.handle(message)
    (logged,) = await bench.log.runs(make.week)
    assert (logged["created"], logged["failed"]) == (17, 3)


async def test_a_replay_after_too_many_rejects_sends_only_what_had_failed(bench: Any, make: Any) -> None:
    rows = make.signals(20)
    failing = keys(rows)[:3]
    bench.emulator.faults(
        {"kind": "row_error", "external_ids": failing, "code": "REQUIRED_FIELD_MISSING", "message": "x", "times": 1}
    )
    message = await bench.passed("r1", rows)
    with pytest.raises(TooManyRejectedError):
        await bench.handle(message)
    await bench.handle(message)
    details = (await bench.stage("r1")).details
    assert {name: details[name] for name in ("created", "updated", "unchanged", "failed")} == {
        "created": 20, "updated": 0, "unchanged": 0, "failed": 0,
    }  # fmt: skip
    attempts = bench.emulator.attempts()
    assert {attempts[key] for key in failing} == {2}
    assert {times for key, times in attempts.items() if key not in failing} == {1}


async def test_a_rejected_share_within_the_limit_is_a_success_with_a_warning(bench: Any, make: Any) -> None:
    rows = make.signals(20)
    bench.emulator.faults({"kind": "row_error", "external_ids": keys(rows)[:2], "code": "X_CODE", "message": "no"})
    details = await bench.synced("r1", rows, sf_max_error_rate_pct=Decimal(10))
    assert (details["created"], details["failed"]) == (18, 2)
    assert "2 of 20 rows rejected" in details["warning"]


async def test_an_aborted_job_counts_its_rest_as_failed_and_is_not_sent_again(bench: Any, make: Any) -> None:
    message = await bench.passed("r1", make.signals(20))
    bench.emulator.faults({"kind": "slow_job", "seconds": 2.0})
    with pytest.raises(JobStillRunningError):
        await bench.handle(message, sf_job_wait_sec=0.05)
    tools = bench.tools()
    job_id = tools.session.request("GET", "jobs/ingest").json()["records"][0]["id"]
    tools.session.request("PATCH", f"jobs/ingest/{job_id}", json={"state": "Aborted"})
    tools.session.close()
    with pytest.raises(TooManyRejectedError, match="JOB_ABORTED: 20"):
        await bench.handle(message)
    assert bench.emulator.calls("job_create") == 1


async def test_a_daily_limit_without_room_above_the_reserve_sends_nothing(
    bench: Any, make: Any, start_emulator: Any
) -> None:
    poor = start_emulator("--daily-api-requests", "30")
    message = await bench.passed("r1", make.signals(20))
    with pytest.raises(SalesforceLimitError, match="DailyApiRequests") as raised:
        await bench.handle(message, sf_login_url=poor.url)
    assert is_transient(raised.value)
    assert poor.calls("job_create") == 0

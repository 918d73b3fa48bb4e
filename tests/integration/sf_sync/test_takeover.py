"""A forced run of the same week while the sync of the superseded one is still at work in another replica."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from libs.common.clock import SystemClock
from services.sf_sync.errors import EarlierSyncRunningError, OutcomesIncompleteError
from services.sf_sync.handlers import handle
from services.sf_sync.ledger import Ledger, SendState

PORTIONS = {"sf_job_max_rows": 3, "sf_concurrent_jobs": 1}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 60
    while not await condition():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.01)


def standing_at(bench: Any, run_id: str, state: SendState) -> Callable[[], Awaitable[bool]]:
    ledger = Ledger(bench.state, run_id, SystemClock())

    async def stands() -> bool:
        return any(entry.value.state is state for entry in await ledger.sends())

    return stands


async def test_what_the_older_run_has_not_begun_to_send_is_never_sent(bench: Any, make: Any) -> None:
    older = await bench.passed("r1", make.signals(9))
    bench.emulator.faults({"kind": "slow_response", "call": "job_upload", "seconds": 2.0})
    at_work = asyncio.create_task(bench.handle(older, **PORTIONS))
    await until(standing_at(bench, "r1", SendState.UPLOADING))
    details = await bench.synced("r2", make.signals(9, orders_week=7), force=True)
    await at_work
    assert (details["created"], details["failed"]) == (9, 0)
    assert {record["Orders_Week__c"] for record in bench.emulator.records().values()} == {7}
    assert set(bench.emulator.attempts().values()) == {1}


async def test_rows_of_the_older_run_that_wait_to_be_sent_again_are_not(bench: Any, make: Any) -> None:
    rows = make.signals(5)
    locked = rows[0]["external_signal_id"]
    bench.emulator.faults({"kind": "row_lock", "external_ids": [locked]})
    at_work = asyncio.create_task(bench.handle(await bench.passed("r1", rows), sf_row_retry_wait_sec=3.0))
    await until(standing_at(bench, "r1", SendState.DONE))
    await bench.synced("r2", make.signals(5, orders_week=7), force=True)
    await at_work
    assert {record["Orders_Week__c"] for record in bench.emulator.records().values()} == {7}
    assert set(bench.emulator.attempts().values()) == {1 + 1}


async def test_a_redelivery_of_the_older_run_sends_nothing(bench: Any, make: Any) -> None:
    older = await bench.passed("r1", make.signals(4))
    bench.emulator.faults({"kind": "wrong_results"})
    with pytest.raises(OutcomesIncompleteError):
        await bench.handle(older)
    details = await bench.synced("r2", make.signals(4), force=True)
    assert details["updated"] == 4  # what Salesforce made of the older run's rows is not known
    jobs = bench.emulator.calls("job_create")
    assert "taken over" in (await bench.handle(older)).note
    assert bench.emulator.calls("job_create") == jobs


class Meddling:
    """State tables in which the older run's worker is a moment faster, once."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._fresh = inner, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def update_part(self, run_id: str, stage: Any, part: int, revision: int, *, details: Any) -> Any:
        if run_id == "r1" and part and self._fresh:
            self._fresh = False
            row = await self._inner.get_part(run_id, stage, part)
            await self._inner.update_part(run_id, stage, part, revision, details=row.details)
        return await self._inner.update_part(run_id, stage, part, revision, details=details)


async def test_a_newer_run_that_meets_the_older_ones_worker_in_the_act_is_tried_again(bench: Any, make: Any) -> None:
    older = await bench.passed("r1", make.signals(4))
    bench.emulator.faults({"kind": "slow_response", "call": "job_upload", "seconds": 1.0})
    at_work = asyncio.create_task(bench.handle(older))
    await until(standing_at(bench, "r1", SendState.UPLOADING))
    newer = await bench.passed("r2", make.signals(4, orders_week=7), force=True)
    tools = bench.tools()
    with pytest.raises(EarlierSyncRunningError):
        await handle(newer, replace(tools, state=Meddling(tools.state)))
    await asyncio.to_thread(tools.session.close)
    await at_work
    await bench.handle(newer)
    assert (await bench.stage("r2")).status == "SUCCESS"
    assert {record["Orders_Week__c"] for record in bench.emulator.records().values()} == {7}

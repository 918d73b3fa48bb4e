"""Timers on the event loop."""

import asyncio

import pytest

from libs.emulators.servicebus.broker.scheduler import LoopScheduler


async def test_a_call_comes_at_its_time_and_never_before() -> None:
    scheduler = LoopScheduler()
    called: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    due_ms = scheduler.now_ms() + 20

    scheduler.call_at(due_ms, lambda: called.set_result(scheduler.now_ms()))

    assert await asyncio.wait_for(called, 5) >= due_ms


async def test_a_cancelled_call_does_not_come() -> None:
    scheduler = LoopScheduler()
    calls: list[str] = []
    last: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    scheduler.call_at(scheduler.now_ms() - 1, lambda: calls.append("cancelled")).cancel()
    scheduler.call_at(scheduler.now_ms() + 5, lambda: last.set_result(None))
    await asyncio.wait_for(last, 5)

    assert calls == []


async def test_a_wall_clock_that_was_set_back_delays_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = LoopScheduler()
    real = scheduler.now_ms
    called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    due_ms = real() + 5
    scheduler.call_at(due_ms, lambda: called.set_result(None))

    monkeypatch.setattr(scheduler, "now_ms", lambda: real() - 50)
    await asyncio.wait_for(called, 5)

    assert scheduler.now_ms() >= due_ms

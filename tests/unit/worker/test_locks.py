from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog

from libs.common import failpoints
from libs.common.bus.errors import BusUnavailableError, LockLostError
from libs.common.metrics import Metrics
from libs.common.worker.locks import (
    TICK_SEC,
    UNWIND_SEC,
    HeldLock,
    InterruptedWorkError,
    Interruption,
    LockKeeper,
)
from tests.unit.worker.harness import FakeDelivery, ManualClock, settle_down


class Kept:
    """A keeper at work on a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics("x")
        self.keeper = LockKeeper(clock=self.clock, metrics=self.metrics, log=structlog.get_logger())

    def delivery(self, *, renewal_error: Exception | None = None) -> FakeDelivery:
        delivery = FakeDelivery(b"", clock=self.clock, lock_sec=60)
        delivery.renewal_error = renewal_error
        return delivery

    def count(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"service": "x"})


def is_lost(lock: HeldLock) -> bool:
    return lock.interruption is Interruption.LOCK_LOST


@pytest.fixture
async def kept() -> AsyncIterator[Kept]:
    kept = Kept()
    watching = asyncio.create_task(kept.keeper.watch())
    await settle_down()
    yield kept
    watching.cancel()


async def test_a_lock_is_renewed_at_half_of_what_is_left_again_and_again(kept: Kept) -> None:
    delivery = kept.delivery()
    with kept.keeper.keep(delivery) as lock:
        await kept.clock.advance(TICK_SEC)
        await kept.clock.advance(29)
        assert delivery.renewals == 0
        await kept.clock.advance(1)
        assert delivery.renewals == 1
        await kept.clock.advance(TICK_SEC)
        await kept.clock.advance(31)
        assert delivery.renewals == 2
        assert not is_lost(lock)
    assert kept.count("retl_lock_renewals_total") == 2


async def test_a_renewal_that_fails_in_passing_is_tried_again_before_the_lock_runs_out(kept: Kept) -> None:
    delivery = kept.delivery(renewal_error=BusUnavailableError("no connection"))
    with kept.keeper.keep(delivery) as lock:
        await kept.clock.advance(TICK_SEC)
        await kept.clock.advance(31)
        delivery.renewal_error = None
        await kept.clock.advance(TICK_SEC)
        await kept.clock.advance(15)
        assert delivery.renewals == 1
        assert not is_lost(lock)


async def test_a_lock_that_could_not_be_renewed_in_time_is_lost(kept: Kept) -> None:
    delivery = kept.delivery(renewal_error=BusUnavailableError("no connection"))
    with kept.keeper.keep(delivery) as lock:
        await kept.clock.advance(59)
        assert not is_lost(lock)
        await kept.clock.advance(1)
        assert is_lost(lock)
    assert kept.count("retl_locks_lost_total") == 1


async def test_a_lock_that_the_broker_took_back_is_lost_at_once(kept: Kept) -> None:
    with kept.keeper.keep(kept.delivery(renewal_error=LockLostError())) as lock:
        await kept.clock.advance(TICK_SEC)
        await kept.clock.advance(31)
        assert is_lost(lock)


async def test_a_lock_that_is_lost_is_not_asked_for_again(kept: Kept) -> None:
    delivery = kept.delivery(renewal_error=LockLostError())
    with kept.keeper.keep(delivery) as lock:
        await kept.clock.advance(TICK_SEC)
        await kept.clock.advance(31)
        assert is_lost(lock)
        delivery.renewal_error = None
        await kept.clock.advance(TICK_SEC)
        await kept.clock.advance(20)
    assert delivery.renewals == 0


async def test_a_second_reason_to_stop_does_not_disturb_work_that_unwinds(kept: Kept) -> None:
    cancellations = 0

    async def unwinding() -> None:
        nonlocal cancellations
        with kept.keeper.keep(kept.delivery(renewal_error=LockLostError())) as lock, lock.work(1000):
            while cancellations < 2:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancellations += 1

    working = asyncio.create_task(unwinding())
    await kept.clock.advance(TICK_SEC)
    await kept.clock.advance(26)
    kept.keeper.hand_back()
    await kept.clock.advance(5)
    assert kept.count("retl_locks_lost_total") == 1
    assert cancellations == 1
    await kept.clock.advance(UNWIND_SEC)
    with pytest.raises(InterruptedWorkError) as interrupted:
        await working
    assert interrupted.value.why is Interruption.LOCK_LOST


async def test_a_renewal_that_never_answers_does_not_hide_that_the_lock_ran_out(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery, other = kept.delivery(), kept.delivery()
    monkeypatch.setattr(delivery, "renew", lambda: asyncio.sleep(1000))
    with kept.keeper.keep(delivery) as lock, kept.keeper.keep(other) as second:
        await kept.clock.advance(TICK_SEC)
        await kept.clock.advance(31)
        await kept.clock.advance(30)
        assert is_lost(lock)
        assert not is_lost(second)


async def test_a_failpoint_can_lose_the_lock(kept: Kept) -> None:
    failpoints.configure("renew_lock:raise")
    delivery = kept.delivery()
    with kept.keeper.keep(delivery) as lock:
        await kept.clock.advance(TICK_SEC)
        await kept.clock.advance(31)
        assert is_lost(lock)
    assert delivery.renewals == 0


async def test_nothing_is_renewed_after_the_work_is_over(kept: Kept) -> None:
    delivery = kept.delivery()
    with kept.keeper.keep(delivery) as lock:
        pass
    await kept.clock.advance(61)
    assert delivery.renewals == 0
    assert not is_lost(lock)

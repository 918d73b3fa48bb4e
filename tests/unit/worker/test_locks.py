from __future__ import annotations

import structlog

from libs.common import failpoints
from libs.common.bus.errors import BusUnavailableError, LockLostError
from libs.common.metrics import Metrics
from libs.common.worker.locks import LockKeeper
from tests.unit.worker.harness import FakeDelivery, ManualClock, settle_down


def keeper(delivery: FakeDelivery, clock: ManualClock, metrics: Metrics | None = None) -> LockKeeper:
    return LockKeeper(delivery, clock=clock, metrics=metrics or Metrics("x"), log=structlog.get_logger())


async def test_the_lock_is_renewed_at_half_of_what_is_left() -> None:
    clock = ManualClock()
    delivery = FakeDelivery(b"", clock=clock, lock_sec=60)
    async with keeper(delivery, clock) as lock:
        await settle_down()
        await clock.advance(29)
        assert delivery.renewals == 0
        await clock.advance(1.5)
        assert delivery.renewals == 1
        await clock.advance(31)
        assert delivery.renewals == 2
        assert not lock.lost.is_set()


async def test_a_renewal_that_fails_in_passing_is_tried_again_before_the_lock_runs_out() -> None:
    clock = ManualClock()
    delivery = FakeDelivery(b"", clock=clock, lock_sec=60)
    delivery.renewal_error = BusUnavailableError("no connection")
    async with keeper(delivery, clock) as lock:
        await settle_down()
        await clock.advance(31)
        delivery.renewal_error = None
        await clock.advance(15)
        assert delivery.renewals == 1
        assert not lock.lost.is_set()


async def test_a_lock_that_could_not_be_renewed_in_time_is_lost() -> None:
    clock, metrics = ManualClock(), Metrics("x")
    delivery = FakeDelivery(b"", clock=clock, lock_sec=60)
    delivery.renewal_error = BusUnavailableError("no connection")
    async with keeper(delivery, clock, metrics) as lock:
        for _ in range(12):
            await settle_down()
            await clock.advance(31)
        assert lock.lost.is_set()
    assert metrics.registry.get_sample_value("retl_locks_lost_total", {"service": "x"}) == 1


async def test_a_lock_that_the_broker_took_back_is_lost_at_once() -> None:
    clock = ManualClock()
    delivery = FakeDelivery(b"", clock=clock, lock_sec=60)
    delivery.renewal_error = LockLostError()
    async with keeper(delivery, clock) as lock:
        await settle_down()
        await clock.advance(31)
        assert lock.lost.is_set()


async def test_a_failpoint_can_lose_the_lock() -> None:
    clock = ManualClock()
    failpoints.configure("renew_lock:raise")
    delivery = FakeDelivery(b"", clock=clock, lock_sec=60)
    async with keeper(delivery, clock) as lock:
        await settle_down()
        await clock.advance(31)
        assert lock.lost.is_set()
    assert delivery.renewals == 0


async def test_nothing_is_renewed_after_the_work_is_over() -> None:
    clock = ManualClock()
    delivery = FakeDelivery(b"", clock=clock, lock_sec=60)
    async with keeper(delivery, clock):
        await settle_down()
    await clock.advance(31)
    assert delivery.renewals == 0

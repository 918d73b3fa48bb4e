"""Keeping the locks on messages while they are worked on, and telling their handlers when one is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from structlog.typing import FilteringBoundLogger

from libs.common.bus.errors import LockLostError
from libs.common.bus.ports import Delivery
from libs.common.clock import Clock
from libs.common.errors import RetlError
from libs.common.failpoints import FailpointError, failpoint
from libs.common.metrics import Metrics

TICK_SEC = 0.5
"""How often locks are looked at: a tenth of the shortest that Service Bus knows (5 s)."""


class HeldLock:
    """The lock on one message in hand."""

    def __init__(self, delivery: Delivery, now: datetime) -> None:
        self.delivery = delivery
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done as soon as the message may be somebody else's."""
        self.renewing: asyncio.Task[None] | None = None
        self.renew_at = now
        self.plan(now)

    def left_sec(self, now: datetime) -> float:
        """What is left of it, by our clock."""
        return (self.delivery.locked_until - now).total_seconds()

    def plan(self, now: datetime) -> None:
        """Renew at half of what is left: time enough to try again if that fails."""
        self.renew_at = now + timedelta(seconds=self.left_sec(now) / 2)


class LockKeeper:
    """Renews the locks of all messages in hand, as one watched task instead of one a message.

    That a renewal comes late for want of an event loop is prevented elsewhere (no handler blocks it). An error other
    than a lost lock is tried again until the lock has run out.
    """

    def __init__(self, *, clock: Clock, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._held: set[HeldLock] = set()

    @contextmanager
    def keep(self, delivery: Delivery) -> Iterator[HeldLock]:
        """Renew this message's lock until the context is left. A renewal under way then ends by itself."""
        lock = HeldLock(delivery, self._clock.now())
        self._held.add(lock)
        try:
            yield lock
        finally:
            self._held.discard(lock)

    async def watch(self) -> None:
        """Look after the locks, for ever."""
        while True:
            await self._clock.sleep(TICK_SEC)
            now = self._clock.now()
            for lock in tuple(self._held):
                if lock.left_sec(now) <= 0:
                    self._lose(lock)
                elif lock.renewing is None and now >= lock.renew_at:
                    lock.renewing = asyncio.create_task(self._renew(lock), name=f"renew {lock.delivery.message_id}")

    async def _renew(self, lock: HeldLock) -> None:
        try:
            await failpoint("renew_lock", correlation_id=lock.delivery.properties.get("correlation_id"))
            await lock.delivery.renew()
        except (LockLostError, FailpointError):
            self._lose(lock)
        except RetlError as error:
            self._log.warning(
                "lock_renewal_failed", message_id=lock.delivery.message_id, code=error.code, text=str(error)
            )
        else:
            self._metrics.lock_renewals.inc()
        finally:
            lock.plan(self._clock.now())
            lock.renewing = None

    def _lose(self, lock: HeldLock) -> None:
        if lock in self._held and not lock.lost.done():
            self._metrics.locks_lost.inc()
            self._log.warning(
                "lock_lost",
                message_id=lock.delivery.message_id,
                locked_until=lock.delivery.locked_until.isoformat(),
            )
            lock.lost.set_result(None)

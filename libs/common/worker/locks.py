"""Keeping the lock on a message while it is worked on, and telling its handler when it is gone."""

from __future__ import annotations

import asyncio
from types import TracebackType

from structlog.typing import FilteringBoundLogger

from libs.common.bus.errors import LockLostError
from libs.common.bus.ports import Delivery
from libs.common.clock import Clock
from libs.common.errors import RetlError
from libs.common.failpoints import FailpointError, failpoint
from libs.common.metrics import Metrics

MIN_PAUSE_SEC = 0.05
"""Between two tries to renew, whatever the clocks say."""


class LockKeeper:
    """Renews one message's lock as long as the context is open: at half of what is left, again and again.

    That a renewal comes late for want of an event loop is prevented elsewhere (no handler blocks it). An error other
    than a lost lock is tried again until the lock has run out. `lost` is then set, and stays so.
    """

    def __init__(self, delivery: Delivery, *, clock: Clock, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._delivery = delivery
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()

    async def __aenter__(self) -> LockKeeper:
        self._task = asyncio.create_task(self._keep(), name=f"lock {self._delivery.message_id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _keep(self) -> None:
        try:
            while (left := self._left()) > 0:
                await self._clock.sleep(max(left / 2, MIN_PAUSE_SEC))
                await self._renew()
        except (LockLostError, FailpointError):
            pass
        self._metrics.locks_lost.inc()
        self._log.warning("lock_lost", locked_until=self._delivery.locked_until.isoformat())
        self.lost.set()

    async def _renew(self) -> None:
        try:
            await failpoint("renew_lock")
            await self._delivery.renew()
        except LockLostError:
            raise
        except RetlError as error:
            self._log.warning("lock_renewal_failed", code=error.code, text=str(error), seconds_left=self._left())
        else:
            self._metrics.lock_renewals.inc()

    def _left(self) -> float:
        return (self._delivery.locked_until - self._clock.now()).total_seconds()

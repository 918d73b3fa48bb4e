"""Keeping the locks on messages while they are worked on, and stopping the work where it has to end early."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from structlog.typing import FilteringBoundLogger

from libs.common.bus.errors import LockLostError
from libs.common.bus.ports import Delivery
from libs.common.clock import Clock
from libs.common.errors import RetlError
from libs.common.failpoints import FailpointError, failpoint
from libs.common.metrics import Metrics

TICK_SEC = 0.5
"""How often locks and budgets are looked at: a tenth of the shortest lock that Service Bus knows (5 s)."""
UNWIND_SEC = 10.0
"""How long a cancelled handler may take to give up before it is cancelled again."""


class Interruption(Enum):
    """Why work has to end before it is done."""

    LOCK_LOST = "The message may be somebody else's."
    HANDED_BACK = "The service stops."
    OUT_OF_BUDGET = "It takes too long."


class InterruptedWorkError(Exception):
    """The work was told to stop, and has stopped."""

    def __init__(self, why: Interruption) -> None:
        super().__init__(why.value)
        self.why = why


class HeldLock:
    """The lock on one message in hand, and the work under it."""

    def __init__(self, delivery: Delivery, clock: Clock, interruption: Interruption | None) -> None:
        self.delivery = delivery
        self.interruption = interruption
        """Why the work under it has to stop, if it has to."""
        self.renewing: asyncio.Task[None] | None = None
        self.renew_at: datetime | None = None
        """When to renew it next; None until the keeper looks at it."""
        self._clock = clock
        self._worker: asyncio.Task[Any] | None = None
        self._cancellations = 0
        self._until = 0.0

    def left_sec(self, now: datetime) -> float:
        """What is left of it, by our clock."""
        return (self.delivery.locked_until - now).total_seconds()

    def half_left(self, now: datetime) -> datetime:
        """When half of what is left will be gone: a renewal that fails then can be tried again."""
        return now + timedelta(seconds=self.left_sec(now) / 2)

    @contextmanager
    def work(self, budget_sec: float) -> Iterator[None]:
        """A context for the work, in which an interruption cancels it; like `asyncio.timeout`, with more reasons.

        Raises InterruptedWorkError if there is a reason to stop: at once, or when the work has ended, however it did.
        """
        self._raise_if_interrupted()
        worker = asyncio.current_task()
        assert worker is not None
        cancelled_before = worker.cancelling()
        self._worker = worker
        self._until = self._clock.monotonic() + budget_sec
        try:
            yield
        finally:
            self._worker = None
            for _ in range(self._cancellations):
                worker.uncancel()
            if worker.cancelling() <= cancelled_before:  # else somebody else cancelled it too, who is to hear of it
                self._raise_if_interrupted()

    def interrupt(self, why: Interruption) -> None:
        """Stop the work. It is cancelled once; `overdue` says whether it listens."""
        first = self.interruption is None
        if first or why is Interruption.LOCK_LOST:
            self.interruption = why
        if first:
            self.cancel()

    def cancel(self) -> None:
        """Cancel the work, if it has begun, and give it time to unwind."""
        if self._worker is not None:
            self._worker.cancel()
            self._cancellations += 1
            self._until = self._clock.monotonic() + UNWIND_SEC

    def _raise_if_interrupted(self) -> None:
        if self.interruption is not None:
            raise InterruptedWorkError(self.interruption)

    @property
    def overdue(self) -> bool:
        """Whether its budget is spent or, once it is interrupted, its time to unwind."""
        return self._worker is not None and self._clock.monotonic() >= self._until


class LockKeeper:
    """Renews the locks of all messages in hand and watches the budgets, as one watched task instead of one a message.

    That a renewal comes late for want of an event loop is prevented elsewhere (no handler blocks it). An error other
    than a lost lock is tried again until the lock has run out.
    """

    def __init__(self, *, clock: Clock, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._held: set[HeldLock] = set()
        self._handing_back: Interruption | None = None

    @contextmanager
    def keep(self, delivery: Delivery) -> Iterator[HeldLock]:
        """Renew this message's lock until the context is left. A renewal under way then ends by itself."""
        lock = HeldLock(delivery, self._clock, self._handing_back)
        self._held.add(lock)
        try:
            yield lock
        finally:
            self._held.discard(lock)

    def hand_back(self) -> None:
        """Stop all work, that of messages still to come included."""
        self._handing_back = Interruption.HANDED_BACK
        for lock in tuple(self._held):
            lock.interrupt(Interruption.HANDED_BACK)

    async def watch(self) -> None:
        """Look after locks and budgets, for ever."""
        while True:
            await self._clock.sleep(TICK_SEC)
            now = self._clock.now()
            for lock in tuple(self._held):
                if lock.interruption is not Interruption.LOCK_LOST:
                    self._renew_in_time(lock, now)
                if lock.overdue:
                    self._press(lock)

    def _renew_in_time(self, lock: HeldLock, now: datetime) -> None:
        if lock.left_sec(now) <= 0:
            self._lose(lock)
        elif lock.renew_at is None:
            lock.renew_at = lock.half_left(now)
        elif lock.renewing is None and now >= lock.renew_at:
            lock.renewing = asyncio.create_task(self._renew(lock), name=f"renew {lock.delivery.message_id}")

    def _press(self, lock: HeldLock) -> None:
        """Stop what takes too long; again and again what does not listen, for its message is not let go before."""
        if lock.interruption is None:
            lock.interrupt(Interruption.OUT_OF_BUDGET)
        else:
            self._log.error("handler_ignores_cancellation", message_id=lock.delivery.message_id, waited_sec=UNWIND_SEC)
            lock.cancel()

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
            lock.renew_at = lock.renewing = None

    def _lose(self, lock: HeldLock) -> None:
        if lock in self._held and lock.interruption is not Interruption.LOCK_LOST:
            self._metrics.locks_lost.inc()
            self._log.warning(
                "lock_lost",
                message_id=lock.delivery.message_id,
                locked_until=lock.delivery.locked_until.isoformat(),
            )
            lock.interrupt(Interruption.LOCK_LOST)

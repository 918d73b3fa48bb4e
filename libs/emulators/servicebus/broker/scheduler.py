"""Time for the broker: a wall clock and timers, as a port, and its implementation on the event loop."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A pending call."""

    def cancel(self) -> None:
        """Make sure that the call does not happen. Harmless after it happened."""


class Scheduler(Protocol):
    """Tells the time and calls back."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""

    def call_at(self, due_ms: int, action: Callable[[], object]) -> Timer:
        """Call ``action`` once, at ``due_ms`` or soon after, never before."""


class LoopScheduler:
    """The scheduler of a running asyncio event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def call_at(self, due_ms: int, action: Callable[[], object]) -> "_LoopTimer":
        """Call ``action`` once, at ``due_ms`` or soon after, never before."""
        return _LoopTimer(self, self._loop, due_ms, action)


class _LoopTimer:
    __slots__ = ("_action", "_due_ms", "_handle", "_loop", "_scheduler")

    def __init__(
        self, scheduler: LoopScheduler, loop: asyncio.AbstractEventLoop, due_ms: int, action: Callable[[], object]
    ) -> None:
        self._scheduler = scheduler
        self._loop = loop
        self._due_ms = due_ms
        self._action = action
        self._arm()

    def cancel(self) -> None:
        self._handle.cancel()

    def _arm(self) -> None:
        # One millisecond more, because now_ms is cut to whole ones.
        delay_ms = max(self._due_ms - self._scheduler.now_ms() + 1, 0)
        self._handle = self._loop.call_later(delay_ms / 1000, self._fire)

    def _fire(self) -> None:
        # The loop counts on a monotonic clock, which can run ahead of the wall clock.
        if self._scheduler.now_ms() < self._due_ms:
            self._arm()
        else:
            self._action()

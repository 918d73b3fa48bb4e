"""Stopping a consumer that fails too often: a broken dependency must not empty a topic into the dead letters."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum

from libs.common.clock import Clock


class SwitchState(IntEnum):
    """As the metric shows it."""

    CONSUMING = 0
    TRYING = 1
    STOPPED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchPolicy:
    """When to stop and for how long."""

    window: int = 20
    """How many of the last messages are looked at."""
    least: int = 10
    """No verdict before so many."""
    ratio: float = 0.5
    """Share of failures that stops the consumer."""
    pause_sec: float = 30.0
    """First pause; doubles with every trial that fails."""
    max_pause_sec: float = 600.0


class KillSwitch:
    """Fed with the end of every message; asked before every receive. Does not wait by itself."""

    def __init__(self, policy: SwitchPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._recent: deque[bool] = deque(maxlen=policy.window)
        self._pause = policy.pause_sec
        self._resume_at = 0.0
        self.state = SwitchState.CONSUMING

    def record(self, *, failed: bool) -> bool:
        """Note how a message ended; True when this one tripped the switch."""
        if self.state is SwitchState.TRYING:
            if failed:
                self._stop(min(self._pause * 2, self._policy.max_pause_sec))
                return True
            self._resume()
            return False
        self._recent.append(failed)
        if self.state is SwitchState.CONSUMING and self._too_many():
            self._stop(self._policy.pause_sec)
            return True
        return False

    def pause_left_sec(self) -> float:
        """How long not to receive; 0 when receiving is allowed. After a pause one message at a time is tried."""
        if self.state is SwitchState.STOPPED:
            left = self._resume_at - self._clock.monotonic()
            if left > 0:
                return left
            self.state = SwitchState.TRYING
        return 0.0

    def slots(self, concurrency: int) -> int:
        """How many messages may be in hand."""
        return concurrency if self.state is SwitchState.CONSUMING else 1

    def _too_many(self) -> bool:
        seen = len(self._recent)
        return seen >= self._policy.least and sum(self._recent) / seen >= self._policy.ratio

    def _stop(self, pause_sec: float) -> None:
        self.state = SwitchState.STOPPED
        self._pause = pause_sec
        self._resume_at = self._clock.monotonic() + pause_sec

    def _resume(self) -> None:
        self.state = SwitchState.CONSUMING
        self._pause = self._policy.pause_sec
        self._recent.clear()

"""When to deliver a message again: data in, a decision out; nothing here waits."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

MAX_DELAY_SEC = 1800.0
"""No delay is longer, whoever asked for it: a topic's messages live an hour."""
DEFERRAL_SEC = 60.0
"""Where a message must wait although no retry delays are configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """As many retries as there are delays, each a little longer than said so that a burst does not come back as one."""

    delays_sec: tuple[float, ...]
    jitter: float = 0.1
    """Share of a delay that is added at most."""
    draw: Callable[[], float] = random.random
    """A number in [0, 1)."""

    def delay(self, spent: int, asked_sec: float | None = None) -> float | None:
        """Seconds until the next try after `spent` retries, or None when there is none left.

        `asked_sec` replaces the policy's delay, not its count.
        """
        if spent >= len(self.delays_sec):
            return None
        return self._spread(self.delays_sec[spent] if asked_sec is None else asked_sec)

    def deferral(self, deferred: int) -> float:
        """Seconds to put a message off without spending a retry, `deferred` times after the first; never ends."""
        if not self.delays_sec:
            return self._spread(DEFERRAL_SEC)
        return self._spread(self.delays_sec[min(deferred, len(self.delays_sec) - 1)])

    def _spread(self, seconds: float) -> float:
        return min(seconds * (1 + self.jitter * self.draw()), MAX_DELAY_SEC)

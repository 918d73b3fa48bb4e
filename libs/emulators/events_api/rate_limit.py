"""A token bucket: how many requests a second are answered."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """Lets ``per_sec`` requests a second through, at most ``burst`` (default: one second's worth) at once."""

    def __init__(self, per_sec: float, *, clock: Callable[[], float], burst: float | None = None) -> None:
        if per_sec <= 0:
            raise ValueError(f"a rate limit must be above 0 requests a second, got {per_sec}")
        self._per_sec = per_sec
        self._burst = max(1.0, per_sec if burst is None else burst)
        self._clock = clock
        self._tokens = self._burst
        self._at = clock()

    def take(self) -> bool:
        """Take a token; False when there is none, and the request must be refused."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_sec)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

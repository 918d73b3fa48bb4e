"""Requests evenly spaced in time."""

from __future__ import annotations

from libs.common.clock import Clock


class RateLimit:
    """Gives each caller its turn, at most `per_sec` a second, in the order of asking; 0 is no limit.

    Turns are spaced instead of granted in bursts, because that is what an API's limiter likes; the packaged limiters
    take no clock, so waiting could not be tested without waiting.
    """

    def __init__(self, per_sec: float, clock: Clock) -> None:
        self._gap_sec = 1 / per_sec if per_sec else 0.0
        self._clock = clock
        self._next_turn = 0.0

    async def turn(self) -> None:
        """Return when it is the caller's turn."""
        if not self._gap_sec:
            return
        now = self._clock.monotonic()
        turn = max(now, self._next_turn)
        self._next_turn = turn + self._gap_sec
        if turn > now:
            await self._clock.sleep(turn - now)

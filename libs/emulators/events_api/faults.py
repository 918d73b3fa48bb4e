"""What goes wrong, and when: decided by (seed, dates, page, attempt), so a test that fails fails again."""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

from libs.emulators.events_api import draws
from libs.emulators.events_api.span import Span

FaultKind = Literal[
    "429",
    "500",
    "502",
    "503",
    "504",
    "truncate",  # the JSON is cut; Content-Length is that of what is sent
    "disconnect",  # the connection closes before Content-Length is reached
    "invalid_json",  # status 200 with the HTML of some proxy
    "slow",  # a good page, slow_ms late
    "redirect",  # 307 to redirect_to
    "repeat",  # the page before this one, once more
]
ERROR_STATUSES: Final = frozenset({"429", "500", "502", "503", "504"})
Step = FaultKind | Literal["ok"]
_DRAW_RANGE = 1 << 64


class FaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All faults of the emulator; also the body of ``POST /_emulator/faults``, where what is left out is off.

    ``pct`` gives each kind's share of requests in percent. ``max_per_page`` bounds the drawn faults of one page, so
    that a client that retries more often always gets through; 0 is no bound. ``script`` names a page's faults attempt
    by attempt (page number as text, "ok" for none) and comes before the draws.
    """

    seed: int = 1
    pct: dict[FaultKind, float] = {}
    max_per_page: int = 2
    script: dict[str, list[Step]] = {}
    retry_after: Literal["seconds", "date", "none"] = "seconds"
    retry_after_sec: int = 1
    slow_ms: int = 2_000
    redirect_to: str = "http://other-host.invalid"
    total_offset: int = 0
    total_change_after_page: int = 0
    total_change_by: int = 0

    def __post_init__(self) -> None:
        if any(share < 0 for share in self.pct.values()) or sum(self.pct.values()) > 100:
            raise ValueError(f"fault shares must not be negative nor exceed 100 percent together, got {self.pct}")
        if self.max_per_page < 0 or self.retry_after_sec < 0 or self.slow_ms < 0:
            raise ValueError("max_per_page, retry_after_sec and slow_ms must not be negative")

    def decide(self, span: Span, page: int, attempt: int) -> FaultKind | None:
        """Return what befalls the n-th request (from 1) for a page, or None when it is served."""
        script = self.script.get(str(page), [])
        if attempt <= len(script):
            step = script[attempt - 1]
            return None if step == "ok" else step
        if self.max_per_page and attempt > self.max_per_page:
            return None
        drawn = draws.number(draws.key("fault", self.seed, span, page), attempt)
        reached = 0.0
        for kind in get_args(FaultKind):  # a fixed order: the same whatever order the shares were given in
            reached += self.pct.get(kind, 0.0)
            if drawn < reached * _DRAW_RANGE / 100:
                return kind  # type: ignore[no-any-return]  # get_args forgets the literals
        return None

    def reported_total(self, total: int, page: int) -> int:
        """Return the total that a page reports: the true one unless set otherwise."""
        changed = self.total_change_after_page and page > self.total_change_after_page
        return max(0, total + self.total_offset + (self.total_change_by if changed else 0))

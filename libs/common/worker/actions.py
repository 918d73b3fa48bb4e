"""What can become of a message: the closed vocabulary of the canonical log line and of the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from libs.common.errors import describe, error_code
from libs.common.state import Failure


class Action(StrEnum):
    """How handling one message ended."""

    DONE = "done"
    """It had its effect (or had it before); completed."""
    DROPPED = "dropped"
    """Its run is over, so it deserves none; completed."""
    RETRIED = "retried"
    """A delayed copy is scheduled, one attempt spent; completed."""
    DEFERRED = "deferred"
    """A delayed copy is scheduled, no attempt spent, because the state tables are out of reach; completed."""
    DEAD_LETTERED = "dead_lettered"
    """Put aside with code and text; the run and its stage are FAILED."""
    TIMED_OUT = "timed_out"
    """The stage's or the run's budget is spent; the run is TIMED_OUT."""
    LOCK_LOST = "lock_lost"
    """Somebody else may have it, so it was let go without any further effect; the broker delivers it again."""
    HANDED_BACK = "handed_back"
    """The service stops; abandoned for immediate redelivery."""
    LEFT = "left"
    """The bus took neither copy nor settlement; the broker delivers it again when its lock runs out."""

    @property
    def is_failure(self) -> bool:
        """Whether it counts for the kill switch."""
        return self in _FAILURES

    @property
    def is_success(self) -> bool:
        """Whether it counts against the kill switch; what is neither says nothing about the service's health."""
        return self is Action.DONE


_FAILURES = frozenset({Action.RETRIED, Action.DEFERRED, Action.DEAD_LETTERED, Action.TIMED_OUT})


class Settle(Enum):
    """What to tell the broker."""

    COMPLETE = "complete"
    DEAD_LETTER = "dead_letter"
    ABANDON = "abandon"
    NOT = "not"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one message ends: decided first, then carried out."""

    action: Action
    settle: Settle
    failure: Failure | None = None
    note: str = ""
    delay_sec: float | None = None
    error: BaseException | None = None
    """Kept where nobody classified it, so that its traceback is logged."""


def failure_of(error: BaseException, *, next_step: str | None = None) -> Failure:
    """An exception in the words that state tables, dead letters and alerts keep."""
    return Failure(
        code=error_code(error),
        message=describe(error),
        next_step=next_step or getattr(error, "next_step", "") or "Look at the service's log for this message.",
    )

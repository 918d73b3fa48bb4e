"""The three ends of a handler."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """The message has had its effect, or deserves none (`note` then says why); settle it."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """Deliver it again later. `after_sec` None means: as the retry policy says. Counts as an attempt."""

    reason: str
    code: str = "retry_requested"
    after_sec: float | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """It will never work: fail the run and its stage, alert, and put the message aside with this code and text."""

    code: str
    text: str
    next_step: str = "Correct the cause, then `retl dlq replay` or publish the week again."


Outcome = Done | Retry | DeadLetter

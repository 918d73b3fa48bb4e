"""Whether a message's run still wants it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from libs.common.clock import Clock
from libs.common.messages import Message
from libs.common.state import Failure, Run, RunMissingError, RunStatus, State


@dataclass(frozen=True, slots=True)
class Admitted:
    """Work on it. `run` is None where everything is admitted, unseen."""

    run: Run | None


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Settle it without effect."""

    note: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """Its run has spent its budget and is to be ended."""

    run: Run
    failure: Failure


Verdict = Admitted | Unwanted | Overdue


class Admission:
    """Judges messages by the run that they belong to.

    `admits` None admits everything without looking, which is right only for the service that opens runs. A message of a
    run that is in none of the statuses is unwanted. Raises RunMissingError for a run that nobody opened here,
    StateError.
    """

    def __init__(
        self, state: State, clock: Clock, *, admits: frozenset[RunStatus] | None, run_budget_sec: float
    ) -> None:
        self._state = state
        self._clock = clock
        self._admits = admits
        self._run_budget_sec = run_budget_sec

    async def judge(self, message: Message) -> Verdict:
        """Look at the run and decide."""
        if self._admits is None:
            return Admitted(None)
        run = await self._state.get_run(message.run_id)
        if run is None:
            raise RunMissingError(f"Run {message.run_id} is not in the state tables of this service.")
        if run.status not in self._admits:
            return Unwanted(f"run is {run.status}")
        if run.status.is_active and self._clock.now() - run.active_since > timedelta(seconds=self._run_budget_sec):
            return Overdue(run, overdue(run, self._run_budget_sec))
        return Admitted(run)


def overdue(run: Run, budget_sec: float) -> Failure:
    """What to record for a run past its deadline."""
    return Failure(
        code="run_timed_out",
        message=f"The run is active since {run.active_since:%Y-%m-%d %H:%M:%S} UTC, longer than {budget_sec:.0f} s.",
        next_step="See with `retl status` which stage stood still and why, then publish the week again.",
    )

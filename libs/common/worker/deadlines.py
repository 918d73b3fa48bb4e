"""Ending runs that have spent their budget, also when no message of theirs arrives any more; and telling people of a
bad end that whoever brought it about did not live to tell."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from libs.common.alerts import AlertKind, Alerts, tell_of_end
from libs.common.clock import Clock
from libs.common.errors import describe, error_code
from libs.common.state import RunStatus, State
from libs.common.worker.admission import overdue

EVERY_SEC = 30.0
"""A run is at most this much older than its budget when somebody notices."""
UNTOLD_SEC = 120.0
"""An end that is younger may still be told by the call that recorded it, which tries for 90 s at most."""


class Deadlines:
    """Looks for overdue runs and untold ends. Every service does, so that any one alive suffices; only one of them ends
    a run, or tells what was left untold.
    """

    def __init__(
        self, state: State, alerts: Alerts, clock: Clock, log: FilteringBoundLogger, *, run_budget_sec: float
    ) -> None:
        self._state = state
        self._alerts = alerts
        self._clock = clock
        self._log = log
        self._run_budget_sec = run_budget_sec

    async def watch(self) -> None:
        """Check for ever. What fails is logged and tried again: nothing depends on any single look."""
        while True:
            await self._clock.sleep(EVERY_SEC)
            try:
                await self.check()
            except Exception as error:  # noqa: BLE001 - see the docstring
                self._log.warning("deadlines_not_checked", code=error_code(error), text=describe(error))

    async def check(self) -> int:
        """End what is overdue now and tell what is untold; how many runs this call ended."""
        ended = 0
        now = self._clock.now()
        for run in await self._state.due_runs(now, self._run_budget_sec):
            failure = overdue(run, self._run_budget_sec)
            if await self._state.end_run(run.run_id, RunStatus.TIMED_OUT, now, failure):
                await tell_of_end(self._alerts, self._state, run, None, failure, AlertKind.RUN_TIMED_OUT, now)
                ended += 1
        for run in await self._state.untold_runs(now, UNTOLD_SEC):
            # Noted first: five services look, and one alert is enough.
            if run.error is not None and await self._state.mark_told(run.run_id, now):
                timed_out = run.status is RunStatus.TIMED_OUT
                kind = AlertKind.RUN_TIMED_OUT if timed_out else AlertKind.RUN_FAILED
                await self._alerts.send(run, None, run.error, kind)
        return ended

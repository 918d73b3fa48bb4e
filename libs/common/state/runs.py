"""Runs: opened once, active once a week, ended once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, insert, select, update

from libs.common.messages import WeekRequested
from libs.common.state.database import Store, changed
from libs.common.state.errors import (
    DuplicateKeyError,
    RunMissingError,
    StateBusyError,
    StateConflictError,
    WeekBusyError,
)
from libs.common.state.records import failure_values, literal_nulls, options_values, run_of
from libs.common.state.run_status import ENDS, REOPENABLE, Ending, end_in, reopen_in, successful, tell_in
from libs.common.state.types import Failure, Run, RunStatus, Stage
from libs.common.week import Week

COUNTS = frozenset({"rows_fetched", "rows_output", "rows_rejected", "reject_rate_pct"})
UNTOLD_FOR_GOOD = timedelta(days=1)
"""What ended longer ago is news to nobody."""
_OPEN_ATTEMPTS = 5


class Runs(Store):
    """The `pipeline_run` table."""

    async def open_run(self, request: WeekRequested, now: datetime) -> Run:
        """Record that the week is being run; the same `run_id` again returns the run as it stands.

        Raises WeekBusyError while another run of the week is active, StateConflictError where the database takes the
        id for that of another run: most collations of SQL Server see no difference in case or in blanks at the end.
        """
        values = _opening(request, now, RunStatus.STARTED)
        for _ in range(_OPEN_ATTEMPTS):
            try:
                return await self._db.write(lambda c: _insert(c, self._tables.run, values))
            except DuplicateKeyError:
                pass
            if (run := await self.get_run(request.run_id)) is not None:
                return _itself(run, request)
            if (active := await self._active_run(request.pipeline_name, request.week)) is not None:
                raise WeekBusyError(request.week, active.run_id)
            # The run in the way ended between the two looks.
        raise StateBusyError(f"Runs of {request.week} come and go too fast to open {request.run_id}.")

    async def refuse_run(
        self, request: WeekRequested, failure: Failure, now: datetime, *, status: RunStatus = RunStatus.FAILED
    ) -> None:
        """Record a run that never became active, unless it is recorded already."""
        values = _opening(request, now, status) | {"finished_at_utc": now} | failure_values(failure)
        try:
            await self._db.write(lambda c: _insert(c, self._tables.run, values))
        except DuplicateKeyError:
            if await self.get_run(request.run_id) is None:
                raise

    async def get_run(self, run_id: str) -> Run | None:
        """The run, or None."""
        found = await self._select(self._tables.run.c.run_id == run_id, limit=1)
        return found[0] if found else None

    async def runs(self, pipeline_name: str, week: Week | None = None, limit: int = 50) -> list[Run]:
        """The runs of a pipeline (of one week), the newest first."""
        run = self._tables.run
        return await self._select(run.c.pipeline_name == pipeline_name, *_of_week(run, week), limit=limit)

    async def active_runs(self, pipeline_name: str) -> list[Run]:
        """The runs that are being worked on, the newest first."""
        run = self._tables.run
        return await self._select(run.c.pipeline_name == pipeline_name, run.c.status == RunStatus.STARTED.value)

    async def successful_run(self, pipeline_name: str, week: Week) -> Run | None:
        """The run whose result readers see for this week; never a dry run."""
        run = self._tables.run
        found = await self._select(run.c.pipeline_name == pipeline_name, *_of_week(run, week), *successful(run))
        return found[0] if found else None

    async def due_runs(self, now: datetime, budget_sec: float) -> list[Run]:
        """The active runs, of any pipeline, that have spent their budget."""
        run = self._tables.run
        latest = now - timedelta(seconds=budget_sec)
        return await self._select(run.c.status == RunStatus.STARTED.value, run.c.active_since_utc <= latest)

    async def add_run_counts(self, run_id: str, **counts: Any) -> None:
        """Record figures of the run: `rows_fetched`, `rows_output`, `rows_rejected`, `reject_rate_pct`.

        They are absolute, not increments, so that a repeat is harmless. Raises RunMissingError; ValueError for others.
        """
        if unknown := counts.keys() - COUNTS:
            raise ValueError(f"No such counts of a run: {', '.join(sorted(unknown))}.")
        run = self._tables.run
        statement = update(run).where(run.c.run_id == run_id).values(**literal_nulls(counts))
        if not await self._db.write(lambda c: changed(c, statement)):
            raise RunMissingError(f"Run {run_id} is not in the state tables.")

    async def end_run(
        self,
        run_id: str,
        status: RunStatus,
        now: datetime,
        failure: Failure | None = None,
        stage: Stage | None = None,
    ) -> bool:
        """End an active run that does not succeed; True only for the one call that ended it.

        `stage` is the stage at fault: it gets the same status and failure, also where it was not started yet, and the
        other running stages end with it: cancelled where the run failed, else as the run. Where no stage is named all
        running ones get the run's status and failure. A run that has passed the gate keeps its success: then only
        `stage` is ended, and True says that this call did that.
        """
        if status not in ENDS:
            raise ValueError(f"A run does not end as {status} this way.")
        ending = Ending(run_id=run_id, status=status, at=now, failure=failure, stage=stage, call=uuid.uuid4().hex)
        return await self._db.write(lambda c: end_in(c, self._tables, ending), again_on_duplicate=True)

    async def reopen_run(self, run_id: str, now: datetime) -> bool:
        """Make a failed or timed-out run active again, its unfinished stages running; True if this call changed it.

        A run that passed the gate stays as it is; its failed synchronisation becomes running again.
        Raises WeekBusyError while another run of the week is active.
        """
        call = uuid.uuid4().hex
        try:
            return await self._db.write(lambda c: reopen_in(c, self._tables, run_id, now, call))
        except DuplicateKeyError:
            run = await self.get_run(run_id)
            active = run and await self._active_run(run.pipeline_name, run.week)
            if run is None or active is None:
                raise
            raise WeekBusyError(run.week, active.run_id) from None

    async def untold_runs(self, now: datetime, after_sec: float) -> list[Run]:
        """The runs, of any pipeline, whose bad end nobody was told of for `after_sec`; none from before yesterday.

        Whoever ended such a run died, or lost the database, before the alert was out.
        """
        run = self._tables.run
        return await self._select(
            run.c.status.in_([status.value for status in REOPENABLE]),
            run.c.told_at_utc.is_(None),
            run.c.finished_at_utc <= now - timedelta(seconds=after_sec),
            run.c.finished_at_utc > now - UNTOLD_FOR_GOOD,
        )

    async def mark_told(self, run_id: str, now: datetime) -> bool:
        """Note that people were told of the run's bad end; True only for the one call that noted it."""
        call = uuid.uuid4().hex
        return await self._db.write(lambda c: tell_in(c, self._tables, run_id, now, call))

    async def _active_run(self, pipeline_name: str, week: Week) -> Run | None:
        return next((run for run in await self.active_runs(pipeline_name) if run.week == week), None)

    async def _select(self, *conditions: ColumnElement[bool], limit: int | None = None) -> list[Run]:
        run = self._tables.run
        statement = select(run).where(*conditions).order_by(run.c.started_at_utc.desc(), run.c.run_id).limit(limit)
        return await self._db.read(lambda c: [run_of(row) for row in c.execute(statement).mappings()])


def _of_week(run: Table, week: Week | None) -> tuple[ColumnElement[bool], ...]:
    return () if week is None else (run.c.batch_week_start == week.start, run.c.batch_week_end == week.end)


def _opening(request: WeekRequested, now: datetime, status: RunStatus) -> dict[str, Any]:
    return {
        "run_id": request.run_id,
        "pipeline_name": request.pipeline_name,
        "batch_week_start": request.week_start,
        "batch_week_end": request.week_end,
        "status": status.value,
        "requested_by": request.requested_by,
        "requested_at_utc": request.requested_at,
        "correlation_id": request.correlation_id,
        "started_at_utc": now,
        "active_since_utc": now,
        "moved_checkpoint": False,
        "changed_by": uuid.uuid4().hex,
        **options_values(request.options),
    }


def _itself(run: Run, request: WeekRequested) -> Run:
    if run.run_id != request.run_id:
        raise StateConflictError(
            f"The state tables take run {request.run_id!r} for {run.run_id!r}.",
            next_step="Publish the week again with an id that differs in more than case and blanks at the end.",
        )
    return run


def _insert(connection: Connection, run: Table, values: Mapping[str, Any]) -> Run:
    connection.execute(insert(run).values(**values))
    return run_of(connection.execute(select(run).where(run.c.run_id == values["run_id"])).mappings().one())

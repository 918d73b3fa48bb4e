"""Runs: opened once, active once a week, ended once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, false, insert, select, update

from libs.common.messages import WeekRequested
from libs.common.state.database import Database, changed
from libs.common.state.errors import DuplicateKeyError, RunMissingError, StateBusyError, WeekBusyError
from libs.common.state.records import NO_FAILURE, failure_values, options_values, run_of
from libs.common.state.tables import Tables
from libs.common.state.types import Failure, Run, RunStatus, Stage, StageStatus
from libs.common.week import Week

ENDS = (RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED, RunStatus.SKIPPED)
REOPENABLE = (RunStatus.FAILED, RunStatus.TIMED_OUT)
SUCCESSES = (RunStatus.SUCCESS, RunStatus.SUCCESS_WITH_REJECTS)
COUNTS = frozenset({"rows_fetched", "rows_output", "rows_rejected", "reject_rate_pct"})
_OPEN_ATTEMPTS = 5


class Runs:
    """The `pipeline_run` table."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._tables = database.tables

    async def open_run(self, request: WeekRequested, now: datetime) -> Run:
        """Record that the week is being run; the same `run_id` again returns the run as it stands.

        Raises WeekBusyError while another run of the week is active.
        """
        values = _opening(request, now, RunStatus.STARTED)
        for _ in range(_OPEN_ATTEMPTS):
            try:
                return await self._db.write(lambda c: _insert(c, self._tables.run, values))
            except DuplicateKeyError:
                pass
            if (run := await self.get_run(request.run_id)) is not None:
                return run
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
        statement = update(run).where(run.c.run_id == run_id).values(**counts)
        if not await self._db.write(lambda c: changed(c.execute(statement))):
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
        call = uuid.uuid4().hex
        return await self._db.write(
            lambda c: _end(c, self._tables, run_id, status, now, failure, stage, call), again_on_duplicate=True
        )

    async def reopen_run(self, run_id: str, now: datetime) -> bool:
        """Make a failed or timed-out run active again, its unfinished stages running; True if this call changed it.

        A run that passed the gate stays as it is; its failed synchronisation becomes running again.
        Raises WeekBusyError while another run of the week is active.
        """
        call = uuid.uuid4().hex
        try:
            return await self._db.write(lambda c: _reopen(c, self._tables, run_id, now, call))
        except DuplicateKeyError:
            run = await self.get_run(run_id)
            active = run and await self._active_run(run.pipeline_name, run.week)
            if run is None or active is None:
                raise
            raise WeekBusyError(run.week, active.run_id) from None

    async def _active_run(self, pipeline_name: str, week: Week) -> Run | None:
        return next((run for run in await self.active_runs(pipeline_name) if run.week == week), None)

    async def _select(self, *conditions: ColumnElement[bool], limit: int | None = None) -> list[Run]:
        run = self._tables.run
        statement = select(run).where(*conditions).order_by(run.c.started_at_utc.desc(), run.c.run_id).limit(limit)
        return await self._db.read(lambda c: [run_of(row) for row in c.execute(statement).mappings()])


def successful(run: Table) -> tuple[ColumnElement[bool], ...]:
    """What the index of successful runs looks at."""
    return run.c.dry_run == false(), run.c.status.in_([status.value for status in SUCCESSES])


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


def _insert(connection: Connection, run: Table, values: Mapping[str, Any]) -> Run:
    connection.execute(insert(run).values(**values))
    return run_of(connection.execute(select(run).where(run.c.run_id == values["run_id"])).mappings().one())


def _end(
    connection: Connection,
    tables: Tables,
    run_id: str,
    status: RunStatus,
    now: datetime,
    failure: Failure | None,
    stage: Stage | None,
    call: str,
) -> bool:
    run = tables.run
    end = {"status": status.value, "finished_at_utc": now, **failure_values(failure)}
    if changed(
        connection.execute(
            update(run)
            .where(run.c.run_id == run_id, run.c.status == RunStatus.STARTED.value)
            .values(**end, changed_by=call)
        )
    ):
        others = end
        if stage is not None:
            _end_stage(connection, tables.stage, run_id, stage, now, end)
            cancelled = StageStatus.CANCELLED if status is RunStatus.FAILED else StageStatus(status.value)
            others = {"status": cancelled.value, "finished_at_utc": now}
        connection.execute(
            update(tables.stage)
            .where(tables.stage.c.run_id == run_id, tables.stage.c.status == StageStatus.RUNNING.value)
            .values(**others, revision=tables.stage.c.revision + 1)
        )
        return True
    found = connection.execute(select(run.c.status, run.c.changed_by).where(run.c.run_id == run_id)).one_or_none()
    if found is None:
        return False
    if found.changed_by == call:
        return True
    if stage is not None and RunStatus(found.status).is_success:
        return _end_stage(connection, tables.stage, run_id, stage, now, end)
    return False


def _end_stage(
    connection: Connection, table: Table, run_id: str, stage: Stage, now: datetime, end: Mapping[str, Any]
) -> bool:
    """End a stage that is running or was never started; one that has ended stays as it is."""
    key = (table.c.run_id == run_id, table.c.stage_name == stage.value)
    if changed(
        connection.execute(
            update(table)
            .where(*key, table.c.status == StageStatus.RUNNING.value)
            .values(**end, revision=table.c.revision + 1)
        )
    ):
        return True
    if connection.execute(select(table.c.status).where(*key)).first() is not None:
        return False
    connection.execute(
        insert(table).values(
            run_id=run_id,
            stage_name=stage.value,
            attempts=0,
            started_at_utc=now,
            published=False,
            revision=1,
            **end,
        )
    )
    return True


def _reopen(connection: Connection, tables: Tables, run_id: str, now: datetime, call: str) -> bool:
    run, stage = tables.run, tables.stage
    reopened = changed(
        connection.execute(
            update(run)
            .where(run.c.run_id == run_id, run.c.status.in_([status.value for status in REOPENABLE]))
            .values(
                status=RunStatus.STARTED.value,
                active_since_utc=now,
                finished_at_utc=None,
                changed_by=call,
                **NO_FAILURE,
            )
        )
    )
    found = connection.execute(select(run.c.status, run.c.changed_by).where(run.c.run_id == run_id)).one_or_none()
    if found is None:
        return False
    if not reopened and not RunStatus(found.status).is_success:
        return bool(found.changed_by == call)
    unfinished = (StageStatus.FAILED, StageStatus.TIMED_OUT, StageStatus.CANCELLED)
    stages = connection.execute(
        update(stage)
        .where(stage.c.run_id == run_id, stage.c.status.in_([status.value for status in unfinished]))
        .values(
            status=StageStatus.RUNNING.value,
            finished_at_utc=None,
            revision=stage.c.revision + 1,
            **NO_FAILURE,
        )
    )
    return reopened or stages.rowcount > 0

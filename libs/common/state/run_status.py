"""Changes of a run's status and of its stages with it, each inside the caller's transaction.

Always the run's row first and its stages after it, so that two changes of one run never hold what the other needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, false, insert, null, select, update

from libs.common.state.database import changed, count_changed
from libs.common.state.records import NO_FAILURE, failure_values
from libs.common.state.tables import Tables
from libs.common.state.types import Failure, RunStatus, Stage, StageStatus

ENDS = (RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED, RunStatus.SKIPPED)
REOPENABLE = (RunStatus.FAILED, RunStatus.TIMED_OUT)
SUCCESSES = (RunStatus.SUCCESS, RunStatus.SUCCESS_WITH_REJECTS)


def successful(run: Table) -> tuple[ColumnElement[bool], ...]:
    """What the index of successful runs looks at."""
    return run.c.dry_run == false(), run.c.status.in_([status.value for status in SUCCESSES])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run is to end; `call` marks the rows as changed by this call."""

    run_id: str
    status: RunStatus
    at: datetime
    failure: Failure | None
    stage: Stage | None
    call: str

    @property
    def values(self) -> dict[str, Any]:
        """The columns that say so, the same for a run and for a stage."""
        return {
            "status": self.status.value,
            "finished_at_utc": self.at,
            "changed_by": self.call,
            **failure_values(self.failure),
        }


def end_in(connection: Connection, tables: Tables, ending: Ending) -> bool:
    """End the run, or the named stage of one that has succeeded; whether this call did it."""
    run = tables.run
    active = (run.c.run_id == ending.run_id, run.c.status == RunStatus.STARTED.value)
    if changed(connection, update(run).where(*active).values(**ending.values)):
        _end_stages(connection, tables.stage, ending)
        return True
    key = run.c.run_id == ending.run_id
    found = connection.execute(select(run.c.status, run.c.changed_by).where(key)).one_or_none()
    if found is None:
        return False
    if found.changed_by == ending.call:
        return True
    if ending.stage is not None and RunStatus(found.status).is_success:
        return _end_stage(connection, tables.stage, ending, ending.stage)
    return False


def _end_stages(connection: Connection, table: Table, ending: Ending) -> None:
    others = ending.values
    if ending.stage is not None:
        _end_stage(connection, table, ending, ending.stage)
        failed = ending.status is RunStatus.FAILED
        others = {
            "status": StageStatus.CANCELLED.value if failed else ending.status.value,
            "finished_at_utc": ending.at,
            "changed_by": ending.call,
        }
    connection.execute(
        update(table)
        .where(table.c.run_id == ending.run_id, table.c.status == StageStatus.RUNNING.value)
        .values(**others, revision=table.c.revision + 1)
    )


def _end_stage(connection: Connection, table: Table, ending: Ending, stage: Stage) -> bool:
    """End a stage that is running or was never started; one that has ended stays as it is. Whether this call did it."""
    key = (table.c.run_id == ending.run_id, table.c.stage_name == stage.value)
    running = update(table).where(*key, table.c.status == StageStatus.RUNNING.value)
    if changed(connection, running.values(**ending.values, revision=table.c.revision + 1)):
        return True
    found = connection.execute(select(table.c.changed_by).where(*key)).one_or_none()
    if found is not None:
        return bool(found.changed_by == ending.call)
    connection.execute(
        insert(table).values(
            run_id=ending.run_id,
            stage_name=stage.value,
            attempts=0,
            started_at_utc=ending.at,
            published=False,
            revision=1,
            **ending.values,
        )
    )
    return True


def reopen_in(connection: Connection, tables: Tables, run_id: str, now: datetime, call: str) -> bool:
    """Make the run active, or the failed stages of one that has succeeded running; whether this call changed it."""
    run, stage = tables.run, tables.stage
    reopened = changed(
        connection,
        update(run)
        .where(run.c.run_id == run_id, run.c.status.in_([status.value for status in REOPENABLE]))
        .values(
            status=RunStatus.STARTED.value,
            active_since_utc=now,
            finished_at_utc=null(),
            told_at_utc=null(),
            changed_by=call,
            **NO_FAILURE,
        ),
    )
    found = connection.execute(select(run.c.status, run.c.changed_by).where(run.c.run_id == run_id)).one_or_none()
    if found is None:
        return False
    if not reopened and not RunStatus(found.status).is_success:
        return bool(found.changed_by == call)
    unfinished = (StageStatus.FAILED, StageStatus.TIMED_OUT, StageStatus.CANCELLED)
    stages = count_changed(
        connection,
        update(stage)
        .where(stage.c.run_id == run_id, stage.c.status.in_([status.value for status in unfinished]))
        .values(
            status=StageStatus.RUNNING.value,
            finished_at_utc=null(),
            revision=stage.c.revision + 1,
            changed_by=call,
            **NO_FAILURE,
        ),
    )
    if reopened or stages > 0:
        return True
    own = select(stage.c.stage_name).where(stage.c.run_id == run_id, stage.c.changed_by == call)
    return connection.execute(own).first() is not None


def tell_in(connection: Connection, tables: Tables, run_id: str, now: datetime, call: str) -> bool:
    """Note that the bad end was told; whether this call did."""
    run = tables.run
    untold = (
        run.c.run_id == run_id,
        run.c.status.in_([status.value for status in REOPENABLE]),
        run.c.told_at_utc.is_(None),
    )
    if changed(connection, update(run).where(*untold).values(told_at_utc=now, changed_by=call)):
        return True
    return bool(connection.execute(select(run.c.changed_by).where(run.c.run_id == run_id)).scalar() == call)

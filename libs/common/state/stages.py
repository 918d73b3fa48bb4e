"""Stages: started any number of times, finished once, by whoever is first."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, false, insert, null, or_, select, update

from libs.common.state.database import Store, changed
from libs.common.state.errors import DuplicateKeyError, PartsTotalError, RunMissingError
from libs.common.state.records import NO_FAILURE, failure_values, literal_nulls, stage_of
from libs.common.state.types import Failure, Stage, StageRow, StageStatus

STARTABLE = (StageStatus.RUNNING, StageStatus.FAILED, StageStatus.TIMED_OUT)
_ORDER = {stage: position for position, stage in enumerate(Stage)}


class Stages(Store):
    """The `pipeline_stage` table."""

    async def start_stage(self, run_id: str, stage: Stage, now: datetime) -> StageRow:
        """Record a start: the first creates the row, each further one counts an attempt and keeps the first's time.

        A stage that failed or timed out runs again; one that ended otherwise is returned as it is.
        """
        call = uuid.uuid4().hex
        return await self._db.write(
            lambda c: _start(c, self._tables.stage, run_id, stage, now, call), again_on_duplicate=True
        )

    async def set_parts_total(self, run_id: str, parts_total: int) -> None:
        """Record, once, how many parts the week has. Raises PartsTotalError where another number is recorded."""
        table = self._tables.stage
        key = _key(table, run_id, Stage.EXTRACT)

        def work(connection: Connection) -> int | None:
            connection.execute(
                update(table)
                .where(*key, table.c.parts_total.is_(None))
                .values(parts_total=parts_total, revision=table.c.revision + 1)
            )
            return connection.execute(select(table.c.parts_total).where(*key)).scalar_one_or_none()

        recorded = await self._db.write(work)
        if recorded is None:
            raise RunMissingError(f"Stage {Stage.EXTRACT} of run {run_id} was never started.")
        if recorded != parts_total:
            raise PartsTotalError(f"Run {run_id} has {recorded} parts, not {parts_total}.")

    async def finish_stage(
        self,
        run_id: str,
        stage: Stage,
        status: StageStatus,
        now: datetime,
        *,
        row_count: int | None,
        rejected_count: int | None = None,
        details: dict[str, Any] | None = None,
        failure: Failure | None = None,
        outgoing: str | None = None,
    ) -> StageRow:
        """End a running stage, with the message that follows from it; the first caller wins.

        Returns what is recorded, which is another's word where another was first. Raises RunMissingError for a stage
        that was never started.
        """
        table = self._tables.stage
        key = _key(table, run_id, stage)
        given = {"row_count": row_count, "rejected_count": rejected_count, "outgoing": outgoing}
        values: dict[str, Any] = {
            "status": status.value,
            "finished_at_utc": now,
            "published": False,
            "revision": table.c.revision + 1,
            "changed_by": uuid.uuid4().hex,
            **literal_nulls(given),
            **failure_values(failure),
        }
        if details is not None:
            values |= literal_nulls({"details": details})

        def work(connection: Connection) -> StageRow | None:
            connection.execute(update(table).where(*key, table.c.status == StageStatus.RUNNING.value).values(**values))
            return _read(connection, table, run_id, stage)

        row = await self._db.write(work)
        if row is None:
            raise RunMissingError(f"Stage {stage} of run {run_id} was never started.")
        return row

    async def mark_stage_published(self, run_id: str, stage: Stage) -> None:
        """Note that the bus has the stage's message."""
        table = self._tables.stage
        statement = (
            update(table)
            .where(*_key(table, run_id, stage), table.c.published == false())
            .values(published=True, revision=table.c.revision + 1)
        )
        await self._db.write(lambda c: changed(c, statement))

    async def get_stage(self, run_id: str, stage: Stage) -> StageRow | None:
        """The stage's row, or None while it was never started."""
        return await self._db.read(lambda c: _read(c, self._tables.stage, run_id, stage))

    async def stages(self, run_id: str) -> list[StageRow]:
        """The stages of a run that were started, in the pipeline's order."""
        table = self._tables.stage
        statement = select(table).where(table.c.run_id == run_id)
        rows = await self._db.read(lambda c: [stage_of(row) for row in c.execute(statement).mappings()])
        return sorted(rows, key=lambda row: _ORDER[row.stage])


def _key(table: Table, run_id: str, stage: Stage) -> tuple[ColumnElement[bool], ...]:
    return table.c.run_id == run_id, table.c.stage_name == stage.value


def _read(connection: Connection, table: Table, run_id: str, stage: Stage) -> StageRow | None:
    row = _row(connection, table, run_id, stage)
    return None if row is None else stage_of(row)


def _row(connection: Connection, table: Table, run_id: str, stage: Stage) -> RowMapping | None:
    return connection.execute(select(table).where(*_key(table, run_id, stage))).mappings().one_or_none()


def _start(connection: Connection, table: Table, run_id: str, stage: Stage, now: datetime, call: str) -> StageRow:
    again = (
        update(table)
        .where(
            *_key(table, run_id, stage),
            table.c.status.in_([status.value for status in STARTABLE]),
            # Not twice where the first commit was not acknowledged.
            or_(table.c.changed_by.is_(None), table.c.changed_by != call),
        )
        .values(
            status=StageStatus.RUNNING.value,
            attempts=table.c.attempts + 1,
            finished_at_utc=null(),
            revision=table.c.revision + 1,
            changed_by=call,
            **NO_FAILURE,
        )
    )
    counted = changed(connection, again)
    row = _row(connection, table, run_id, stage)
    if row is not None:
        if not counted and row["status"] in STARTABLE and row["changed_by"] != call:
            # It came to be between the two statements: counting this start takes another turn.
            raise DuplicateKeyError
        return stage_of(row)
    connection.execute(
        insert(table).values(
            run_id=run_id,
            stage_name=stage.value,
            status=StageStatus.RUNNING.value,
            attempts=1,
            started_at_utc=now,
            published=False,
            revision=1,
            changed_by=call,
        )
    )
    return StageRow(run_id=run_id, stage=stage, status=StageStatus.RUNNING, attempts=1, started_at=now, revision=1)

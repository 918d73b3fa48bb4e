"""Passing the gate: the one transaction that makes a week's result the one that counts."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, select, update

from libs.common.state.checkpoint import move_checkpoint, read_checkpoint
from libs.common.state.database import Store, changed
from libs.common.state.errors import RunEndedError, RunMissingError, WeekDoneError
from libs.common.state.records import NO_FAILURE, literal_nulls, run_of, stage_of
from libs.common.state.run_status import SUCCESSES, successful
from libs.common.state.tables import Tables
from libs.common.state.types import GateCommit, Run, RunStatus, Stage, StageStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passing:
    """What the caller wants recorded."""

    run_id: str
    now: datetime
    call: str
    status: RunStatus
    figures: dict[str, Any]
    stage_values: dict[str, Any]


class Gate(Store):
    """The commit of stage QUALITY_GATE, across all tables."""

    async def complete_gate(
        self,
        run_id: str,
        now: datetime,
        *,
        status: RunStatus,
        rows_output: int,
        rows_rejected: int,
        reject_rate_pct: Decimal,
        rows_fetched: int | None = None,
        output_path: str | None = None,
        stage_details: dict[str, Any] | None = None,
        outgoing: str | None = None,
    ) -> GateCommit:
        """Make the active run a success, with everything that follows from it, in one transaction.

        The run's earlier success of the same week is superseded if the run was forced; stage QUALITY_GATE succeeds
        with `outgoing`; the checkpoint moves if the week is the expected one or the first. A dry run supersedes and
        moves nothing. A repeat changes nothing and returns what was committed.

        Raises RunEndedError if the run ended otherwise meanwhile, WeekDoneError if another run succeeded and this one
        was not forced, RunMissingError for an unknown run.
        """
        if status not in SUCCESSES:
            raise ValueError(f"Passing the gate does not make a run {status}.")
        call = uuid.uuid4().hex
        figures: dict[str, Any] = {
            "finished_at_utc": now,
            "rows_output": rows_output,
            "rows_rejected": rows_rejected,
            "reject_rate_pct": reject_rate_pct,
            "output_path": output_path,
            "changed_by": call,
        }
        if rows_fetched is not None:
            figures["rows_fetched"] = rows_fetched
        passing = _Passing(
            run_id=run_id,
            now=now,
            call=call,
            status=status,
            figures=figures,
            stage_values={
                "row_count": rows_output,
                "rejected_count": rows_rejected,
                "details": stage_details,
                "outgoing": outgoing,
            },
        )
        return await self._db.write(lambda c: _complete(c, self._tables, passing), again_on_duplicate=True)


def _complete(connection: Connection, tables: Tables, passing: _Passing) -> GateCommit:
    run = _read_run(connection, tables, passing.run_id)
    if run is not None and run.status.is_active:
        # Looked up before any row is locked: the search passes rows that other gates hold.
        earlier = None if run.options.dry_run else _earlier_success(connection, tables, run)
        # The first update holds the run's row until the commit, so that nobody ends it while its predecessor goes.
        if _update_if_active(connection, tables, run.run_id, {**passing.figures, "supersedes": earlier}):
            if earlier is not None:
                _supersede(connection, tables, earlier, passing)
            _update_if_active(connection, tables, run.run_id, {"status": passing.status.value})
            _finish_stage(connection, tables, passing)
            if not run.options.dry_run:
                _move_checkpoint(connection, tables, run, passing)
        run = _read_run(connection, tables, passing.run_id)
    if run is None:
        raise RunMissingError(f"Run {passing.run_id} is not in the state tables.")
    if not run.status.is_success and run.status is not RunStatus.SUPERSEDED:
        raise RunEndedError(run.run_id, run.status)
    return _committed(connection, tables, run)


def _read_run(connection: Connection, tables: Tables, run_id: str) -> Run | None:
    row = connection.execute(select(tables.run).where(tables.run.c.run_id == run_id)).mappings().one_or_none()
    return None if row is None else run_of(row)


def _earlier_success(connection: Connection, tables: Tables, run: Run) -> str | None:
    """The run that this one is to replace. Raises WeekDoneError where it was not told to."""
    table = tables.run
    statement = select(table.c.run_id).where(
        table.c.pipeline_name == run.pipeline_name,
        table.c.batch_week_start == run.week.start,
        table.c.batch_week_end == run.week.end,
        *successful(table),
    )
    earlier = connection.execute(statement).scalar()
    if earlier is not None and not run.options.force:
        raise WeekDoneError(run.week, earlier)
    return earlier


def _supersede(connection: Connection, tables: Tables, earlier: str, passing: _Passing) -> None:
    table = tables.run
    connection.execute(
        update(table)
        .where(table.c.run_id == earlier, *successful(table))
        .values(status=RunStatus.SUPERSEDED.value, superseded_by=passing.run_id, changed_by=passing.call)
    )


def _update_if_active(connection: Connection, tables: Tables, run_id: str, values: dict[str, Any]) -> bool:
    table = tables.run
    active = (table.c.run_id == run_id, table.c.status == RunStatus.STARTED.value)
    return changed(connection, update(table).where(*active).values(**literal_nulls(values)))


def _finish_stage(connection: Connection, tables: Tables, passing: _Passing) -> None:
    table = tables.stage
    values = {
        "status": StageStatus.SUCCESS.value,
        "finished_at_utc": passing.now,
        "published": False,
        "changed_by": passing.call,
        **literal_nulls(passing.stage_values),
    }
    key = (table.c.run_id == passing.run_id, table.c.stage_name == Stage.QUALITY_GATE.value)
    again = update(table).where(*key).values(**values, **NO_FAILURE, revision=table.c.revision + 1)
    if not changed(connection, again):
        connection.execute(
            insert(table).values(
                run_id=passing.run_id,
                stage_name=Stage.QUALITY_GATE.value,
                attempts=1,
                started_at_utc=passing.now,
                revision=1,
                **values,
            )
        )


def _move_checkpoint(connection: Connection, tables: Tables, run: Run, passing: _Passing) -> None:
    if move_checkpoint(connection, tables.checkpoint, run.pipeline_name, run.week, passing.now, passing.call):
        connection.execute(update(tables.run).where(tables.run.c.run_id == run.run_id).values(moved_checkpoint=True))


def _committed(connection: Connection, tables: Tables, run: Run) -> GateCommit:
    key = (tables.stage.c.run_id == run.run_id, tables.stage.c.stage_name == Stage.QUALITY_GATE.value)
    stage = connection.execute(select(tables.stage).where(*key)).mappings().one()
    return GateCommit(
        run=run,
        stage=stage_of(stage),
        checkpoint=read_checkpoint(connection, tables.checkpoint, run.pipeline_name),
    )

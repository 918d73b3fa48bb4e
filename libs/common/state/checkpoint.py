"""The checkpoint: one row a pipeline, moved only forward and only by the week that is expected."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Connection, Table, insert, select, update

from libs.common.state.database import Store, changed
from libs.common.state.records import checkpoint_of
from libs.common.state.types import Checkpoint
from libs.common.week import Week


class Checkpoints(Store):
    """The `pipeline_checkpoint` table."""

    async def checkpoint(self, pipeline_name: str) -> Checkpoint | None:
        """How far the pipeline has come, or None before its first success."""
        return await self._db.read(lambda c: read_checkpoint(c, self._tables.checkpoint, pipeline_name))

    async def advance_checkpoint(self, pipeline_name: str, week: Week, now: datetime) -> bool:
        """Move the checkpoint past `week` if that is the week it expects, or if there is no checkpoint yet.

        True if this call moved it.
        """
        call = uuid.uuid4().hex
        return await self._db.write(
            lambda c: move_checkpoint(c, self._tables.checkpoint, pipeline_name, week, now, call),
            again_on_duplicate=True,
        )


def read_checkpoint(connection: Connection, table: Table, pipeline_name: str) -> Checkpoint | None:
    """The pipeline's row, inside the caller's transaction."""
    row = connection.execute(select(table).where(table.c.pipeline_name == pipeline_name)).mappings().one_or_none()
    return None if row is None else checkpoint_of(row)


def move_checkpoint(
    connection: Connection, table: Table, pipeline_name: str, week: Week, now: datetime, call: str
) -> bool:
    """Compare-and-set inside the caller's transaction; raises the driver's duplicate key if two create it at once.

    True also where this `call` moved it before and did not hear of it.
    """
    following = week.next()
    values = {
        "last_successful_week_start": week.start,
        "last_successful_week_end": week.end,
        "next_week_start": following.start,
        "next_week_end": following.end,
        "updated_at_utc": now,
        "changed_by": call,
    }
    if read_checkpoint(connection, table, pipeline_name) is None:
        connection.execute(insert(table).values(pipeline_name=pipeline_name, **values))
        return True
    expected = (
        table.c.pipeline_name == pipeline_name,
        table.c.next_week_start == week.start,
        table.c.next_week_end == week.end,
    )
    if changed(connection, update(table).where(*expected).values(**values)):
        return True
    mover = select(table.c.changed_by).where(table.c.pipeline_name == pipeline_name)
    return bool(connection.execute(mover).scalar() == call)

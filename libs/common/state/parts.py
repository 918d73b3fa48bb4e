"""Parts: recorded once each; their rows, not a counter, say how many are in.

A worker commits its own part first and then counts in a transaction of its own, so at least the last one to commit sees
all of them.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, false, func, insert, select, update

from libs.common.state.database import Store, changed
from libs.common.state.errors import DuplicateKeyError
from libs.common.state.records import literal_nulls, part_of
from libs.common.state.types import PartRow, PartTotals, Stage


class Parts(Store):
    """The `pipeline_part` table."""

    async def record_part(
        self,
        run_id: str,
        stage: Stage,
        part: int,
        now: datetime,
        *,
        row_count: int,
        rejected_count: int = 0,
        details: dict[str, Any] | None = None,
        outgoing: str | None = None,
    ) -> PartRow:
        """Record that the work on a part is done, with the message that follows from it; the first caller wins.

        Returns what is recorded.
        """
        table = self._tables.part
        statement = insert(table).values(
            run_id=run_id,
            stage_name=stage.value,
            part_index=part,
            row_count=row_count,
            rejected_count=rejected_count,
            **literal_nulls({"details": details, "outgoing": outgoing}),
            published=False,
            revision=1,
            changed_by=uuid.uuid4().hex,
            recorded_at_utc=now,
        )

        def work(connection: Connection) -> PartRow:
            connection.execute(statement)
            row = connection.execute(select(table).where(*_key(table, run_id, stage, part))).mappings().one()
            return part_of(row)

        try:
            return await self._db.write(work)
        except DuplicateKeyError:
            recorded = await self.get_part(run_id, stage, part)
            if recorded is None:
                raise
            return recorded

    async def update_part(
        self,
        run_id: str,
        stage: Stage,
        part: int,
        expected_revision: int,
        *,
        details: dict[str, Any],
        row_count: int | None = None,
        rejected_count: int | None = None,
        outgoing: str | None = None,
    ) -> PartRow | None:
        """Replace a part's details (and what else is given) if it is still at `expected_revision`.

        None says that somebody else moved it, or that it does not exist: read it again.
        """
        table = self._tables.part
        call = uuid.uuid4().hex
        given = {"row_count": row_count, "rejected_count": rejected_count, "outgoing": outgoing}
        statement = (
            update(table)
            .where(*_key(table, run_id, stage, part), table.c.revision == expected_revision)
            .values(
                **literal_nulls({"details": details}),
                revision=expected_revision + 1,
                changed_by=call,
                **{name: value for name, value in given.items() if value is not None},
            )
        )

        def work(connection: Connection) -> PartRow | None:
            connection.execute(statement)
            row = connection.execute(select(table).where(*_key(table, run_id, stage, part))).mappings().one_or_none()
            # Not the row count decides: a repeat after an unacknowledged commit changes nothing and still succeeded.
            return part_of(row) if row is not None and row["changed_by"] == call else None

        return await self._db.write(work)

    async def mark_part_published(self, run_id: str, stage: Stage, part: int) -> None:
        """Note that the bus has the part's message."""
        table = self._tables.part
        statement = (
            update(table)
            .where(*_key(table, run_id, stage, part), table.c.published == false())
            .values(published=True, revision=table.c.revision + 1)
        )
        await self._db.write(lambda c: changed(c, statement))

    async def get_part(self, run_id: str, stage: Stage, part: int) -> PartRow | None:
        """The part's row, or None while its work is not done."""
        found = await self.parts(run_id, stage, part, part)
        return found[0] if found else None

    async def parts(
        self, run_id: str, stage: Stage, first: int | None = None, last: int | None = None
    ) -> list[PartRow]:
        """The recorded parts by index, from `first` to `last`, both included."""
        table = self._tables.part
        statement = select(table).where(*_stage_key(table, run_id, stage)).order_by(table.c.part_index)
        if first is not None:
            statement = statement.where(table.c.part_index >= first)
        if last is not None:
            statement = statement.where(table.c.part_index <= last)
        return await self._db.read(lambda c: [part_of(row) for row in c.execute(statement).mappings()])

    async def part_totals(self, run_id: str, stage: Stage) -> PartTotals:
        """How many parts are in, and their sums."""
        table = self._tables.part
        statement = select(
            func.count(),
            func.coalesce(func.sum(table.c.row_count), 0),
            func.coalesce(func.sum(table.c.rejected_count), 0),
        ).where(*_stage_key(table, run_id, stage))
        row = await self._db.read(lambda c: c.execute(statement).one())
        return PartTotals(int(row[0]), int(row[1]), int(row[2]))


def _stage_key(table: Table, run_id: str, stage: Stage) -> tuple[ColumnElement[bool], ...]:
    return table.c.run_id == run_id, table.c.stage_name == stage.value


def _key(table: Table, run_id: str, stage: Stage, part: int) -> tuple[ColumnElement[bool], ...]:
    return *_stage_key(table, run_id, stage), table.c.part_index == part

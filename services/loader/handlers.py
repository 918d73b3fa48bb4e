"""`events.validated` → parts merged into the future curated files → `data.loaded`, once per run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec

from libs.common.failpoints import failpoint
from libs.common.messages import EventsValidated
from libs.common.outcome import Done, Outcome
from libs.common.service import Kit
from libs.common.state import PartRow, Stage, StageStatus
from services.loader.adapters import Merger
from services.loader.finish import finish
from services.loader.plan import Group, plan_groups
from services.loader.staging import PartRefs, Staging


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What the handler works with."""

    kit: Kit
    merger: Merger
    most_records: int
    """In a group."""
    merging: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while merging: one group at a time, which bounds the memory and spares the same group a second time."""


async def handle(message: EventsValidated, deps: Deps) -> Outcome:
    """Record the part; merge what groups it completes; after the last one write the manifest and announce it.

    Whoever commits a part and then finds its group complete merges the group; the last to commit sees all parts. Two
    that find it at once write the same bytes, and the first one's record counts.
    """
    state, run_id = deps.kit.state, message.run_id
    stage = await state.get_stage(run_id, Stage.LOAD)
    if stage is None or stage.status is not StageStatus.RUNNING:
        stage = await state.start_stage(run_id, Stage.LOAD, deps.kit.clock.now())
    if stage.status is StageStatus.RUNNING:
        await _record(message, deps.kit)
        groups, complete = await _plan(run_id, deps)
        for group in groups:
            if complete or message.part <= group.closed_by:
                await _merge(group, message, deps)
        if complete:
            stage = await finish(message, groups, deps.kit, _staging(run_id, deps))
    await deps.kit.outbox.release_stage(stage)
    return Done()


async def _record(message: EventsValidated, kit: Kit) -> None:
    await kit.state.record_part(
        message.run_id,
        Stage.LOAD,
        message.part,
        kit.clock.now(),
        row_count=message.valid.rows,
        rejected_count=message.rejects.rows,
        details=PartRefs(valid=message.valid, rejects=message.rejects).to_details(),
    )


async def _plan(run_id: str, deps: Deps) -> tuple[list[Group], bool]:
    """The groups that are complete, and whether these are all of the run."""
    state = deps.kit.state
    extract = await state.get_stage(run_id, Stage.EXTRACT)
    parts_total = None if extract is None else extract.parts_total
    rows = await state.parts(run_id, Stage.LOAD)
    sizes = [(row.part, row.row_count + row.rejected_count) for row in rows]
    return plan_groups(sizes, parts_total, most_records=deps.most_records), len(rows) == parts_total


async def _merge(group: Group, message: EventsValidated, deps: Deps) -> None:
    """Merge the group unless it is recorded as merged, then record it in the row of its first part."""
    state, run_id = deps.kit.state, message.run_id
    async with deps.merging:
        rows = await state.parts(run_id, Stage.LOAD, group.first, group.last)
        if _is_merged(rows[0], group):
            return
        staged = await _staging(run_id, deps).write_group(group, [PartRefs.of(row) for row in rows])
        await failpoint("after_work", stage=Stage.LOAD, part=message.part)
        first: PartRow | None = rows[0]
        while first is not None and not _is_merged(first, group):
            details = msgspec.structs.replace(PartRefs.of(first), group=staged).to_details()
            if await state.update_part(run_id, Stage.LOAD, group.first, first.revision, details=details):
                return
            first = await state.get_part(run_id, Stage.LOAD, group.first)


def _is_merged(first: PartRow, group: Group) -> bool:
    staged = PartRefs.of(first).group
    return staged is not None and (staged.first, staged.last) == (group.first, group.last)


def _staging(run_id: str, deps: Deps) -> Staging:
    return Staging(run_id, lake=deps.kit.lake, merger=deps.merger, scratch=deps.kit.scratch)

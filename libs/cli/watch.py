"""Following a run through the state tables until it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from libs.common.state import PartTotals, Run, Stage, StageRow, StageStatus, State

POLL_SEC = 0.2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. `run` is None until the extractor has opened it; `parts` are those that are done."""

    run: Run | None = None
    stages: dict[Stage, StageRow] = field(default_factory=dict)
    parts: dict[Stage, PartTotals] = field(default_factory=dict)

    @property
    def parts_total(self) -> int | None:
        """How many parts the week has, once that is known."""
        extract = self.stages.get(Stage.EXTRACT)
        return extract.parts_total if extract else None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen: the run ended badly or was skipped, or its last stage has ended too."""
        if self.run is None or self.run.status.is_active:
            return False
        if not self.run.status.is_success or self.run.options.dry_run:
            return True
        sync = self.stages.get(Stage.SALESFORCE_SYNC)
        return sync is not None and sync.status is not StageStatus.RUNNING


async def follow(state: State, run_id: str, show: Callable[[Snapshot], None]) -> Snapshot:
    """Poll until the run is over, showing each snapshot; returns the last. Raises StateError."""
    while True:
        snapshot = await take(state, run_id)
        show(snapshot)
        if snapshot.is_over:
            return snapshot
        await asyncio.sleep(POLL_SEC)


async def take(state: State, run_id: str) -> Snapshot:
    """The run as it is now."""
    # The run first: stages that are read later can only be further on, so an ended run is never shown without its end.
    run = await state.get_run(run_id)
    if run is None:
        return Snapshot()
    stages = {row.stage: row for row in await state.stages(run_id)}
    parts = {stage: await state.part_totals(run_id, stage) for stage in _PARTED if stage in stages}
    return Snapshot(run, stages, parts)


_PARTED = (Stage.EXTRACT, Stage.VALIDATE, Stage.LOAD)

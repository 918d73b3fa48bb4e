"""`events.extracted` → a part's valid records and rejects in the lake → `events.validated`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from libs.common.blobs import open_blob, store
from libs.common.bus.envelope import Outgoing
from libs.common.events.report import Report
from libs.common.failpoints import failpoint
from libs.common.lake import paths
from libs.common.messages import EventsExtracted, EventsValidated
from libs.common.outcome import Done, Outcome
from libs.common.scratch import scratch_folder
from libs.common.service import Kit
from libs.common.state import PartRow, RunMissingError, Stage, StageStatus
from libs.common.week import Week
from services.validator.adapters import PartFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What the handler works with."""

    kit: Kit
    validate: Callable[[PartFiles, Week, datetime], Awaitable[Report]]


async def handle(message: EventsExtracted, deps: Deps) -> Outcome:
    """Validate the part unless it is recorded as validated; close the stage with the last one; announce the part.

    A repeat writes the same files, records nothing new and announces nothing that is known to be announced.
    """
    state = deps.kit.state
    part = await state.get_part(message.run_id, Stage.VALIDATE, message.part)
    if part is None:
        part = await _validate(message, deps)
    # Before the announcement: once every part is announced the run may end, and a redelivery is then dropped.
    await _finish_if_complete(message.run_id, deps.kit)
    await deps.kit.outbox.release_part(part)
    return Done()


async def _validate(message: EventsExtracted, deps: Deps) -> PartRow:
    kit, run_id, index = deps.kit, message.run_id, message.part
    run = await kit.state.get_run(run_id)
    if run is None:
        raise RunMissingError(f"Run {run_id} is not in the state tables.")
    stage = await kit.state.get_stage(run_id, Stage.VALIDATE)
    if stage is None or stage.status is not StageStatus.RUNNING:
        await kit.state.start_stage(run_id, Stage.VALIDATE, kit.clock.now())
    with scratch_folder(kit.scratch, f"part-{index:05d}") as folder:
        valid_file, rejects_file = folder / "valid.parquet", folder / "rejects.parquet"
        async with open_blob(kit.lake, message.raw, folder) as raw_file:
            files = PartFiles(raw=raw_file, valid=valid_file, rejects=rejects_file)
            report = await deps.validate(files, message.week, run.requested_at)
        valid = await store(kit.lake, valid_file, paths.validated_part(run_id, index), report.valid)
        rejects = await store(kit.lake, rejects_file, paths.rejects_part(run_id, index), report.rejected)
    announcement = EventsValidated(
        run_id=run_id,
        pipeline_name=message.pipeline_name,
        week_start=message.week_start,
        week_end=message.week_end,
        correlation_id=message.correlation_id,
        part=index,
        valid=valid,
        rejects=rejects,
        reject_counts=report.details["reject_counts"],
    )
    await failpoint("after_work", stage=Stage.VALIDATE, part=index)
    if report.unknown_fields:
        kit.log.warning("unknown_fields", part=index, fields=report.details["unknown_fields"])
    return await kit.state.record_part(
        run_id,
        Stage.VALIDATE,
        index,
        kit.clock.now(),
        row_count=report.valid,
        rejected_count=report.rejected,
        details=report.details,
        outgoing=Outgoing.of(announcement).to_json(),
    )


async def _finish_if_complete(run_id: str, kit: Kit) -> None:
    """Close the stage if every part is in: counted after this part's commit, so the last to commit sees them all."""
    extract = await kit.state.get_stage(run_id, Stage.EXTRACT)
    if extract is None or extract.parts_total is None:
        return
    recorded = await kit.state.part_totals(run_id, Stage.VALIDATE)
    if recorded.parts < extract.parts_total:
        return
    parts = await kit.state.parts(run_id, Stage.VALIDATE)
    total = Report.sum((part.row_count, part.rejected_count, part.details) for part in parts)
    await kit.state.finish_stage(
        run_id,
        Stage.VALIDATE,
        StageStatus.SUCCESS,
        kit.clock.now(),
        row_count=total.valid,
        rejected_count=total.rejected,
        details=total.details,
    )

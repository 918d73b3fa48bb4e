"""`week.requested` → the run is opened, then the week is skipped or extracted."""

from __future__ import annotations

from dataclasses import dataclass

from libs.common.messages import WeekRequested
from libs.common.outcome import Done, Outcome
from libs.common.service import Kit
from libs.common.state import Failure, Run, Stage, WeekBusyError
from libs.common.week import Week, WeekError
from services.extractor.extraction import Extraction
from services.extractor.paging import Source
from services.extractor.retention import apply_retention
from services.extractor.settings import ExtractorSettings
from services.extractor.skip import skip_published_week


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What the handler works with."""

    kit: Kit
    settings: ExtractorSettings
    source: Source


async def handle(message: WeekRequested, deps: Deps) -> Outcome:
    """Extract the week, or go on where an earlier delivery of the same request stopped.

    A week that succeeded before is skipped unless it is forced or only rehearsed. A second run of a week that is being
    worked on (WeekBusyError), or a span that is none (WeekError), is refused and recorded as FAILED.
    """
    state, clock = deps.kit.state, deps.kit.clock
    run = await state.get_run(message.run_id)
    if run is not None and not run.status.is_active:
        return Done(f"the run is {run.status}")
    if run is None:
        run = await _open(message, deps)
    stage = await state.start_stage(run.run_id, Stage.EXTRACT, clock.now())
    if not run.options.force and not run.options.dry_run:
        done_before = await state.successful_run(run.pipeline_name, run.week)
        if done_before is not None:
            return await skip_published_week(run, done_before, deps.kit)
    await Extraction(run, deps.kit, deps.settings, deps.source, attempt=stage.attempts).finish()
    await apply_retention(deps.kit, keep_days=deps.settings.run_retention_days)
    return Done()


async def _open(message: WeekRequested, deps: Deps) -> Run:
    kit, now = deps.kit, deps.kit.clock.now()
    checkpoint = await kit.state.checkpoint(message.pipeline_name)
    if checkpoint is not None and checkpoint.is_stale(now, deps.settings.stale_checkpoint_days):
        kit.log.warning(
            "checkpoint_stale", next_week=str(checkpoint.next_week), since=checkpoint.updated_at.isoformat()
        )
    try:
        Week.of(message.week_start, message.week_end)
        return await kit.state.open_run(message, now)
    except (WeekBusyError, WeekError) as error:
        failure = Failure(code=error.code, message=str(error), next_step=error.next_step)
        await kit.state.refuse_run(message, failure, now)
        raise

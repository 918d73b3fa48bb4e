"""`gate.passed` → the week's rows are in Salesforce, or each that is not has its reason in the log."""

from libs.common.blobs import open_blob
from libs.common.failpoints import failpoint
from libs.common.messages import GatePassed
from libs.common.outcome import Done, Outcome
from libs.common.state import Stage, StageStatus
from services.sf_sync.errors import SyncTakenOverError
from services.sf_sync.source import open_source
from services.sf_sync.sync import finish
from services.sf_sync.tools import Attempt, Tools


async def handle(message: GatePassed, tools: Tools) -> Outcome:
    """Sync, then finish the stage. The run's own success does not depend on it.

    Raises the errors of `services.sf_sync.errors`, of the lake and of the state tables; what was achieved until then is
    on record, and a redelivery goes on from there.
    """
    run = await tools.state.get_run(message.run_id)
    if run is None:
        return Done("the run is unknown")
    stage = await tools.state.start_stage(run.run_id, Stage.SALESFORCE_SYNC, tools.clock.now())
    if stage.status is not StageStatus.RUNNING:
        return Done(f"the sync ended before as {stage.status}")
    attempt = Attempt.begin(tools, run, number=stage.attempts, full=message.full_sync)
    try:
        signals = open_blob(tools.lake, message.signals, tools.scratch)
        async with open_source(tools.settings, run.week, signals) as source:
            report = await finish(attempt, source)
    except SyncTakenOverError as error:
        return Done(str(error))
    await failpoint("after_work", stage=Stage.SALESFORCE_SYNC)
    await tools.state.finish_stage(
        run.run_id,
        Stage.SALESFORCE_SYNC,
        StageStatus.SUCCESS,
        tools.clock.now(),
        row_count=report.rows_accepted,
        rejected_count=report.rows_failed,
        details=report.details,
    )
    await failpoint("after_commit", stage=Stage.SALESFORCE_SYNC)
    return Done(report.details["warning"] or "every row is in Salesforce")

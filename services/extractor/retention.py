"""What the lake need not keep: private files of runs that ended long ago, and what killed uploads left behind.

The gate removes the bulk of a run as soon as it has succeeded. What is left are the checks and the sync's files of
successful runs, and everything of those that failed, which a replay or a repair may still need. Both go by age.
"""

from __future__ import annotations

from datetime import timedelta

from libs.common.errors import RetlError, describe
from libs.common.lake import paths
from libs.common.service import Kit

_LEFTOVER_SEC = 24 * 3600.0
"""Longer than any upload takes: the budget of a whole run is a sixth of it."""


async def apply_retention(kit: Kit, *, keep_days: int) -> None:
    """Remove the leftovers of killed uploads, and `runs/{run_id}` of runs that ended more than `keep_days` ago.

    A run that is active, or that the state tables do not know (it may be another pipeline's), is left alone. Never
    raises an error of lake or state: the week is extracted by now, and the next one tries again.
    """
    limit = kit.clock.now() - timedelta(days=keep_days)
    try:
        swept = await kit.lake.sweep(older_than_sec=_LEFTOVER_SEC)
        removed = []
        for run_id in paths.run_ids(info.path for info in await kit.lake.list(paths.RUNS_DIR)):
            run = await kit.state.get_run(run_id)
            if run is not None and run.finished_at is not None and run.finished_at < limit:
                await kit.lake.delete(paths.run_dir(run_id))
                removed.append(run_id)
    except RetlError as error:
        kit.log.warning("retention_postponed", error=describe(error))
        return
    if swept or removed:
        kit.log.info("retention_applied", leftovers=swept, runs=removed)

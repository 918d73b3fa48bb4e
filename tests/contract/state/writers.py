"""A process full of writers, started by `test_races.py`: all contend for the same rows, none knows of the others.

Arguments: prefix, pipeline, run id, name of the process, number of writers, number of parts. The database is STATE_URL:
it may hold a password and so is no argument. Says a line once it is connected, and waits for one on stdin, so that all
processes begin together; writes what its writers saw as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from datetime import UTC, date, datetime

from libs.common.messages import WeekRequested
from libs.common.state import Stage, StageStatus, State, WeekBusyError, open_state
from libs.common.week import Week

NOW = datetime(2024, 1, 8, tzinfo=UTC)
FIRST_PAUSE_SEC = 0.01
LONGEST_PAUSE_SEC = 1.0


async def _open(state: State, pipeline: str, run_id: str) -> str | None:
    """Open a run of the one week; its id if it could be opened."""
    request = WeekRequested(
        run_id=run_id,
        pipeline_name=pipeline,
        week_start=date(2024, 1, 1),
        week_end=date(2024, 1, 7),
        correlation_id=run_id,
        requested_by=run_id,
        requested_at=NOW,
    )
    try:
        return (await state.open_run(request, NOW)).run_id
    except WeekBusyError:
        return None


async def _record(state: State, run_id: str, who: str, part: int, parts: int) -> str | None:
    """Record a part as a validator does; the outgoing message of the stage if all parts were in."""
    await state.start_stage(run_id, Stage.VALIDATE, NOW)
    await state.record_part(run_id, Stage.VALIDATE, part, NOW, row_count=10, outgoing=who)
    if (await state.part_totals(run_id, Stage.VALIDATE)).parts < parts:
        return None
    row = await state.finish_stage(run_id, Stage.VALIDATE, StageStatus.SUCCESS, NOW, row_count=10 * parts, outgoing=who)
    return row.outgoing


async def _count(state: State, run_id: str) -> None:
    """Add one to a number that all writers share. Whoever loses waits a while: two hundred are a crowd."""
    pause_sec = FIRST_PAUSE_SEC
    row = await state.record_part(run_id, Stage.SALESFORCE_SYNC, 0, NOW, row_count=0, details={"count": 0})
    while True:
        details = {"count": row.details["count"] + 1}
        if await state.update_part(run_id, Stage.SALESFORCE_SYNC, 0, row.revision, details=details) is not None:
            return
        await asyncio.sleep(random.uniform(0, pause_sec))
        pause_sec = min(2 * pause_sec, LONGEST_PAUSE_SEC)
        (row,) = await state.parts(run_id, Stage.SALESFORCE_SYNC)


async def _move(state: State, pipeline: str, who: str) -> str | None:
    """Move a checkpoint that all writers share to the one week; who, if it was this writer that moved it."""
    week = Week(date(2024, 1, 1), date(2024, 1, 7))
    return who if await state.advance_checkpoint(f"{pipeline}-moved", week, NOW) else None


async def _write(state: State, pipeline: str, run_id: str, who: str, part: int, parts: int) -> dict[str, str | None]:
    opened = await _open(state, pipeline, who)
    finished = await _record(state, run_id, who, part, parts)
    await _count(state, run_id)
    return {"opened": opened, "finished": finished, "moved": await _move(state, pipeline, who)}


async def _main(prefix: str, pipeline: str, run_id: str, name: str, writers: int, parts: int) -> None:
    state = open_state(os.environ["STATE_URL"], prefix=prefix)
    await asyncio.gather(*(state.get_run(run_id) for _ in range(writers)))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    seen = await asyncio.gather(
        *(_write(state, pipeline, run_id, f"{name}-{n}", n % parts, parts) for n in range(writers))
    )
    await state.aclose()
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    prefix, pipeline, run_id, name, writers, parts = sys.argv[1:]
    asyncio.run(_main(prefix, pipeline, run_id, name, int(writers), int(parts)))

"""The state database is out of reach, or SIGTERM comes, while each service is in the middle of its work."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
import pytest_asyncio

from libs.cli.stack import SERVICES
from tests.chaos.conftest import StartPlant
from tests.chaos.outcome import Outcome, differences, outcome_of
from tests.chaos.plant import Plant
from tests.chaos.sabotage import Sabotage
from tests.chaos.surroundings import BUSY_TIMEOUT_SEC

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

AWAY_SEC = {
    "moment": dict.fromkeys(SERVICES, 5 * BUSY_TIMEOUT_SEC),
    "minute": dict.fromkeys(SERVICES, 30.0) | {"loader": 60.0},
}
"""For each of the five services, one after the other; the minute is in the middle of the week, in the third of them."""
AWAY = [
    pytest.param("moment", id="a moment"),
    pytest.param("minute", id="a minute in mid-week", marks=[pytest.mark.long, pytest.mark.timeout(600)]),
]
HANGS = {
    case: [Sabotage(case=case, service=service, point="after_work", action="hang") for service in SERVICES]
    for case in ("locked-moment", "locked-minute", "gone-moment", "gone-minute", "handed_back", "finished")
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plant(start_plant: StartPlant) -> Plant:
    return await start_plant(sabotage=[hang for hangs in HANGS.values() for hang in hangs])


@pytest.mark.parametrize("away", AWAY)
async def test_a_database_that_is_locked_when_a_service_commits_is_waited_for(
    fresh: Plant, undisturbed: Outcome, away: str
) -> None:
    case = f"locked-{away}"
    await fresh.request(case)
    for hang in HANGS[case]:
        await fresh.reaches(hang)
        with closing(sqlite3.connect(fresh.database, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN EXCLUSIVE")
            fresh.release(hang)
            await asyncio.sleep(AWAY_SEC[away][hang.service])
    await fresh.finished()
    assert fresh.deaths == []
    assert differences(outcome_of(fresh), undisturbed) == {}


@pytest.mark.parametrize("away", AWAY)
async def test_a_database_that_is_gone_when_a_service_commits_is_waited_for(
    fresh: Plant, undisturbed: Outcome, away: str
) -> None:
    case = f"gone-{away}"
    elsewhere = fresh.folder / case
    elsewhere.mkdir()
    await fresh.request(case)
    for hang in HANGS[case]:
        await fresh.reaches(hang)
        files = list(fresh.folder.glob("state.db*"))
        for file in files:
            file.rename(elsewhere / file.name)
        fresh.database.mkdir()  # in the way of whoever would make a new one
        fresh.release(hang)
        await asyncio.sleep(AWAY_SEC[away][hang.service])
        fresh.database.rmdir()
        for file in files:
            (elsewhere / file.name).rename(file)
    await fresh.finished()
    assert fresh.deaths == []
    assert differences(outcome_of(fresh), undisturbed) == {}


async def test_work_that_outlasts_a_stop_is_handed_back_and_done_after_the_restart(
    fresh: Plant, undisturbed: Outcome
) -> None:
    await fresh.request("handed_back")
    for hang in HANGS["handed_back"]:
        await fresh.reaches(hang)
        await fresh.restart(hang.service, signal.SIGTERM)
    await fresh.finished()
    for service in SERVICES:
        assert fresh.actions(service, "handed_back") == {"handed_back", "done"}
    assert all("exit status 0" in death for death in fresh.deaths)
    assert differences(outcome_of(fresh), undisturbed) == {}


async def test_work_that_ends_within_the_grace_period_is_done_before_the_stop(
    fresh: Plant, undisturbed: Outcome
) -> None:
    await fresh.request("finished")
    for hang in HANGS["finished"]:
        await fresh.reaches(hang)
        stopped = fresh.children[hang.service].process
        stopping = expects_line(fresh, hang.service, "finishing")
        assert stopped is not None
        stopped.send_signal(signal.SIGTERM)
        await fresh.until(stopping)
        fresh.release(hang)
        assert await stopped.wait() == 0
    await fresh.finished()
    for service in SERVICES:
        assert fresh.actions(service, "finished") == {"done"}
    assert differences(outcome_of(fresh), undisturbed) == {}


def expects_line(plant: Plant, service: str, event: str) -> Callable[[], bool]:
    """Whether the service has logged the event once more than now."""
    before = len(plant.log_lines(service, event))
    return lambda: len(plant.log_lines(service, event)) > before

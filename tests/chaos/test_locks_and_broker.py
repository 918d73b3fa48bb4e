"""The broker takes a lock back, loses every connection, or dies, while each service is in the middle of its work."""

from __future__ import annotations

import signal

import pytest
import pytest_asyncio

from libs.cli.stack import SERVICES
from tests.chaos.conftest import StartPlant
from tests.chaos.outcome import Outcome, differences, outcome_of
from tests.chaos.plant import Plant
from tests.chaos.sabotage import Sabotage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

HANGS = {
    case: [Sabotage(case=case, service=service, point="after_work", action="hang") for service in SERVICES]
    for case in ("locks", "connections", "broker")
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plant(start_plant: StartPlant) -> Plant:
    return await start_plant(sabotage=[hang for hangs in HANGS.values() for hang in hangs])


async def test_a_service_whose_lock_is_lost_stops_and_the_next_delivery_has_the_effect(
    fresh: Plant, undisturbed: Outcome
) -> None:
    await fresh.request("locks")
    for hang in HANGS["locks"]:
        await fresh.reaches(hang)
        fresh.broker("faults/expire-locks")
    await fresh.finished()
    for service in SERVICES:
        assert fresh.actions(service, "locks") == {"lock_lost", "done"}
    assert fresh.deaths == []
    assert differences(outcome_of(fresh), undisturbed) == {}


async def test_connections_that_break_in_the_middle_of_work_are_made_anew(fresh: Plant, undisturbed: Outcome) -> None:
    await fresh.request("connections")
    for hang in HANGS["connections"]:
        await fresh.reaches(hang)
        assert fresh.broker("faults/drop-connections")["dropped"] > 0
        fresh.release(hang)
    await fresh.finished()
    assert fresh.deaths == []
    assert differences(outcome_of(fresh), undisturbed) == {}


async def test_a_broker_that_is_killed_in_the_middle_of_work_takes_nothing_with_it(
    fresh: Plant, undisturbed: Outcome
) -> None:
    await fresh.request("broker")
    for hang in HANGS["broker"]:
        await fresh.reaches(hang)
        await fresh.restart("servicebus", signal.SIGKILL)
        fresh.release(hang)
    await fresh.finished()
    assert len(fresh.deaths) == len(SERVICES)
    assert differences(outcome_of(fresh), undisturbed) == {}

"""SIGKILL at every point between two effects, in all five services in one week; the supervisor starts them again."""

from __future__ import annotations

import pytest
import pytest_asyncio

from libs.cli.stack import SERVICES
from tests.chaos.conftest import StartPlant
from tests.chaos.outcome import Outcome, differences, outcome_of
from tests.chaos.plant import Plant
from tests.chaos.sabotage import Sabotage
from tests.chaos.surroundings import RUN_ID

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

POINTS = ("before_work", "after_work", "after_commit", "after_publish", "before_settle")
# Chosen so that extractor, validator and loader die at about the same time: their locks then run out together.
CONDITIONS = {
    ("extractor", "after_work"): "part=2",
    ("extractor", "after_commit"): "part=1",
    ("extractor", "after_publish"): "part=1",
    **{("validator", point): f"message_id={RUN_ID}/events.extracted/00002" for point in POINTS},
    ("loader", "before_work"): f"message_id={RUN_ID}/events.validated/00000",
}
KILLS = [
    Sabotage(case=point, service=service, point=point, action="kill", conditions=CONDITIONS.get((service, point), ""))
    for point in POINTS
    for service in SERVICES
    if (service, point) != ("sf_sync", "after_publish")  # it is the last and publishes nothing
]
WITHIN_ONE_EFFECT = [
    *(
        Sabotage(case="within", service="gate", point="publishing", action="kill", conditions=f"kind={kind}")
        for kind in ("rejects", "signals", "events")
    ),
    Sabotage(case="within", service="loader", point="after_work", action="kill", conditions="kind=manifest"),
    *(Sabotage(case="within", service=service, point="after_settle", action="kill") for service in SERVICES),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plant(start_plant: StartPlant) -> Plant:
    return await start_plant(sabotage=[*KILLS, *WITHIN_ONE_EFFECT])


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_a_point_every_service_ends_the_week_as_if_nothing_had_happened(
    point: str, fresh: Plant, undisturbed: Outcome
) -> None:
    kills = [kill for kill in KILLS if kill.case == point]
    await fresh.request(point)
    await fresh.finished()
    assert [kill for kill in kills if not fresh.reached(kill).exists()] == []
    assert len(fresh.deaths) == len(kills)
    assert differences(outcome_of(fresh), undisturbed) == {}


async def test_killed_between_the_steps_of_a_publication_and_after_settling_nothing_is_missing_or_twice(
    fresh: Plant, undisturbed: Outcome
) -> None:
    await fresh.request("within")
    await fresh.finished()
    await fresh.until(lambda: len(fresh.deaths) == len(WITHIN_ONE_EFFECT))
    assert [kill for kill in WITHIN_ONE_EFFECT if not fresh.reached(kill).exists()] == []
    assert differences(outcome_of(fresh), undisturbed) == {}

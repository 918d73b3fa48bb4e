"""Two of every service at once on a week of fifty parts."""

from __future__ import annotations

from collections import Counter

import pytest
import pytest_asyncio

from libs.cli.stack import SERVICES
from tests.chaos.conftest import StartPlant
from tests.chaos.outcome import Outcome, differences, outcome_of
from tests.chaos.plant import Plant
from tests.chaos.sabotage import Sabotage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

PARTS = 50
EVENTS_A_PART = 50
KILLS = [Sabotage(case="killed", service=service, point="after_work", action="kill") for service in SERVICES]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plant(start_plant: StartPlant) -> Plant:
    size = str(EVENTS_A_PART)
    return await start_plant(
        events=PARTS * EVENTS_A_PART - 5,
        sabotage=KILLS,
        settings={"API_PAGE_SIZE": size, "PART_MAX_EVENTS": size, "LOAD_GROUP_EVENTS": str(10 * EVENTS_A_PART)},
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doubled(plant: Plant, undisturbed: Outcome) -> Plant:
    """The plant of the undisturbed week, with a second replica of every service from now on."""
    await plant.add_replicas()
    return plant


async def test_two_replicas_share_fifty_parts_and_none_takes_effect_twice(
    doubled: Plant, fresh: Plant, undisturbed: Outcome
) -> None:
    await fresh.request("doubled")
    await fresh.finished()
    assert differences(outcome_of(fresh), undisturbed) == {}

    for service in ("validator", "loader"):
        lines = fresh.messages(service, "doubled")
        assert {line["replica"] for line in lines} == {service, f"{service}-2"}
        assert Counter(line["action"] for line in lines) == {"done": PARTS}
        assert len({line["message_id"] for line in lines}) == PARTS
    for service in ("gate", "sf_sync"):
        assert [line["action"] for line in fresh.messages(service, "doubled")] == ["done"]


async def test_when_one_of_two_replicas_of_every_service_is_killed_the_other_ends_the_week(
    doubled: Plant, fresh: Plant, undisturbed: Outcome
) -> None:
    await fresh.request("killed")
    await fresh.finished()
    assert [kill for kill in KILLS if not fresh.reached(kill).exists()] == []
    assert len(fresh.deaths) == len(SERVICES)
    assert differences(outcome_of(fresh), undisturbed) == {}


async def test_both_replicas_at_work_on_the_same_messages_at_once_take_effect_once(
    doubled: Plant, fresh: Plant, undisturbed: Outcome
) -> None:
    for _ in range(2):
        await fresh.request("twins")
    await fresh.finished()
    assert {line["replica"] for line in fresh.messages("extractor", "twins")} == {"extractor", "extractor-2"}
    assert differences(outcome_of(fresh), undisturbed) == {}

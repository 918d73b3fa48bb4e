"""What the bus may do at any time: deliver twice, in another order, late; and errors that pass."""

from __future__ import annotations

import uuid
from functools import partial

import msgspec
import pytest
import pytest_asyncio

from libs.cli.stack import SERVICES
from libs.common.bus.envelope import Outgoing
from tests.chaos.conftest import StartPlant
from tests.chaos.outcome import Outcome, differences, outcome_of
from tests.chaos.plant import Plant
from tests.chaos.sabotage import Sabotage
from tests.chaos.surroundings import RUN_ID

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

RAISES = [
    Sabotage(case="raises", service=service, point=point, action="raise")
    for point in ("before_work", "after_work", "after_commit", "after_publish")
    for service in SERVICES
    if (service, point) != ("sf_sync", "after_publish")
]
COPIES = [
    each
    for service in SERVICES
    for each in (
        Sabotage(case="copies", service=service, point="before_work", action="raise"),
        Sabotage(case="copies", service=service, point="after_retry_scheduled", action="kill"),
    )
]
GATE_WAITS = Sabotage(case="duplicates", service="gate", point="before_work", action="hang")
FIRST_IS_LATE = [
    Sabotage(
        case="reordered",
        service=service,
        point="before_work",
        action="hang",
        conditions=f"message_id={RUN_ID}/{topic}/00000",
    )
    for service, topic in (("validator", "events.extracted"), ("loader", "events.validated"))
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plant(start_plant: StartPlant) -> Plant:
    collections = {"SF_COLLECTIONS_BELOW": "2000"}  # the other way into Salesforce
    return await start_plant(sabotage=[*RAISES, *COPIES, GATE_WAITS, *FIRST_IS_LATE], settings=collections)


async def test_an_error_that_passes_at_every_point_costs_a_retry_and_nothing_else(
    fresh: Plant, undisturbed: Outcome
) -> None:
    await fresh.request("raises")
    await fresh.finished()
    assert [each for each in RAISES if not fresh.reached(each).exists()] == []
    assert fresh.deaths == []
    assert differences(outcome_of(fresh), undisturbed) == {}


async def test_killed_between_a_scheduled_retry_and_its_settlement_the_message_is_there_twice_and_takes_effect_once(
    fresh: Plant, undisturbed: Outcome
) -> None:
    await fresh.request("copies")
    await fresh.finished()
    assert [each for each in COPIES if not fresh.reached(each).exists()] == []
    assert len(fresh.deaths) == len(SERVICES)
    assert differences(outcome_of(fresh), undisturbed) == {}


async def test_every_message_delivered_again_in_the_middle_and_at_the_end_changes_nothing(
    fresh: Plant, undisturbed: Outcome
) -> None:
    await fresh.request("duplicates")
    await fresh.reaches(GATE_WAITS)
    await fresh.request("duplicates")
    await fresh.publish(*again(fresh))
    fresh.release(GATE_WAITS)
    await fresh.finished()
    assert differences(outcome_of(fresh), undisturbed) == {}

    await fresh.request("duplicates")
    everything = again(fresh)
    assert {message.topic for message in everything} == {
        "events.extracted",
        "events.validated",
        "data.loaded",
        "gate.passed",
    }
    await fresh.publish(*everything)
    await fresh.drained()
    assert differences(outcome_of(fresh), undisturbed) == {}


async def test_parts_that_come_in_another_order_make_the_same_files(fresh: Plant, undisturbed: Outcome) -> None:
    await fresh.request("reordered")
    for late, stage in zip(FIRST_IS_LATE, ("VALIDATE", "LOAD"), strict=True):
        await fresh.reaches(late)
        await fresh.until(partial(has_parts, fresh, stage, {1, 2}))
        fresh.release(late)
    await fresh.finished()
    assert differences(outcome_of(fresh), undisturbed) == {}


def again(plant: Plant) -> list[Outgoing]:
    """Every message that is on record, last first, under ids that no broker has seen."""
    recorded = plant.rows(
        "SELECT outgoing FROM pipeline_part WHERE outgoing IS NOT NULL "
        "UNION ALL SELECT outgoing FROM pipeline_stage WHERE outgoing IS NOT NULL"
    )
    messages = [Outgoing.from_json(row["outgoing"]) for row in recorded]
    return [msgspec.structs.replace(message, message_id=uuid.uuid4().hex) for message in reversed(messages)]


def has_parts(plant: Plant, stage: str, parts: set[int]) -> bool:
    """Whether exactly these are on record."""
    rows = plant.rows("SELECT part_index FROM pipeline_part WHERE stage_name = ?", stage)
    return {row["part_index"] for row in rows} == parts

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.chaos.outcome import Outcome, outcome_of
from tests.chaos.plant import Plant

StartPlant = Callable[..., Awaitable[Plant]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def start_plant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StartPlant]:
    """Starts plants; those of a module run to its end."""
    plants: list[Plant] = []

    async def start(**options: Any) -> Plant:
        plant = Plant(tmp_path_factory.mktemp("plant"), **options)
        plants.append(plant)
        await plant.start()
        return plant

    yield start
    for plant in plants:
        await plant.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(plant: Plant) -> Outcome:
    """The week as it is when nothing happens."""
    await plant.request("undisturbed")
    await plant.finished()
    outcome = outcome_of(plant)
    assert [(run["status"], run["error_message"]) for run in outcome.run] == [("SUCCESS_WITH_REJECTS", None)]
    assert len(outcome.records) > 100
    return outcome


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(plant: Plant, undisturbed: Outcome) -> Plant:
    """The module's plant, where nothing has run yet."""
    await plant.reset()
    return plant

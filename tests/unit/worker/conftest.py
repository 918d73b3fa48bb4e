from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common import failpoints
from libs.common.state import State, migrate, open_state
from tests.unit.worker.harness import Harness


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state") / "state.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
async def state(migrated: Path, tmp_path: Path) -> AsyncIterator[State]:
    path = tmp_path / "state.db"
    shutil.copyfile(migrated, path)
    state = open_state(f"sqlite:///{path}", patience_sec=0.1)
    yield state
    await state.aclose()


@pytest.fixture
async def harness(state: State) -> Harness:
    return Harness(state)


@pytest.fixture(autouse=True)
def disarmed() -> None:
    failpoints.configure(None)

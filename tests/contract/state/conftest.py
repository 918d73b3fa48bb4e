"""The state suite runs against SQLite always, and against the server of STATE_TEST_URL where one is named.

Each session has a set of tables of its own (a prefix), made before the first test and dropped after the last. Tests
share it: each works in a pipeline of its own and asks only about that.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import pytest

from libs.common.clock import Clock
from libs.common.messages import RunOptions, WeekRequested
from libs.common.state import State, migrate, open_state
from libs.common.state.engine import is_embedded, open_engine
from libs.common.state.tables import define_tables

NOW = datetime(2024, 1, 8, 5, 0, 0, 123456, tzinfo=UTC)


@dataclass(frozen=True)
class Target:
    """A database, and which tables in it."""

    url: str = field(repr=False)
    prefix: str

    def open(self, *, patience_sec: float = 60.0, clock: Clock | None = None) -> State:
        """Connections of their own to it."""
        return open_state(self.url, prefix=self.prefix, patience_sec=patience_sec, clock=clock)

    def drop(self) -> None:
        """Remove the tables."""
        engine, naming = open_engine(self.url, credential=None, schema=None, prefix=self.prefix, connections=1)
        tables = define_tables(naming)
        with engine.begin() as connection:
            tables.metadata.drop_all(connection, checkfirst=False)
        engine.dispose()


def _servers() -> list[str]:
    named = os.environ.get("STATE_TEST_URL")
    return ["sqlite", "server"] if named and not is_embedded(named) else ["sqlite"]


@pytest.fixture(scope="session", params=_servers())
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    embedded = f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db"
    made = Target(
        url={"sqlite": embedded, "server": os.environ.get("STATE_TEST_URL", "")}[request.param],
        prefix=f"t{secrets.token_hex(4)}_",
    )
    migrate(made.url, prefix=made.prefix)
    yield made
    made.drop()


@pytest.fixture
async def state(target: Target) -> AsyncIterator[State]:
    opened = target.open()
    yield opened
    await opened.aclose()


@pytest.fixture
async def other(target: Target) -> AsyncIterator[State]:
    """A second set of connections, as another process would have."""
    opened = target.open()
    yield opened
    await opened.aclose()


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def pipeline() -> str:
    return f"pipeline-{secrets.token_hex(6)}"


@pytest.fixture
def request_week(pipeline: str) -> Callable[..., WeekRequested]:
    """Builds requests of this test's pipeline for the first week of 2024, each with a run id of its own."""

    def build(run_id: str | None = None, *, start: date = date(2024, 1, 1), **options: bool) -> WeekRequested:
        return WeekRequested(
            run_id=run_id or f"run-{secrets.token_hex(6)}",
            pipeline_name=pipeline,
            week_start=start,
            week_end=date.fromordinal(start.toordinal() + 6),
            correlation_id="correlation",
            requested_by="somebody",
            requested_at=NOW,
            options=RunOptions(**options),
        )

    return build

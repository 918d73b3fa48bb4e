"""How long a call goes on trying."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, column, make_url, table, text, update

from libs.common.state import StateBusyError, StateError, StateSchemaError, StateUnavailableError
from libs.common.state.database import LEAST_ATTEMPTS, Database, changed
from libs.common.state.errors import DuplicateKeyError
from libs.common.state.sqlite import sqlite_engine
from libs.common.state.tables import Naming, define_tables


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Work:
    """A unit of work that fails until told otherwise."""

    def __init__(self, failure: StateError, until: Callable[[int], bool] = lambda _tries: False) -> None:
        self.tries = 0
        self._failure = failure
        self._until = until

    def __call__(self, _connection: Connection) -> str:
        self.tries += 1
        if self._until(self.tries):
            return "done"
        raise self._failure


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def impatient(tmp_path: Path, clock: Clock) -> AsyncIterator[Database]:
    database = _database(tmp_path, clock, patience_sec=0)
    yield database
    await database.aclose()


@pytest.fixture
async def database(tmp_path: Path, clock: Clock) -> AsyncIterator[Database]:
    database = _database(tmp_path, clock, patience_sec=90)
    yield database
    await database.aclose()


def _database(folder: Path, clock: Clock, *, patience_sec: float) -> Database:
    engine = sqlite_engine(make_url(f"sqlite:///{folder}/state.db"), connections=2)
    return Database(engine, define_tables(Naming()), threads=2, patience_sec=patience_sec, clock=clock)


async def test_a_database_that_is_away_for_a_minute_is_waited_for(database: Database, clock: Clock) -> None:
    work = Work(StateUnavailableError(), lambda _tries: clock.time > 60)

    assert await database.write(work) == "done"
    assert 60 < clock.time < 66
    assert work.tries < 40


async def test_patience_ends(database: Database, clock: Clock) -> None:
    with pytest.raises(StateUnavailableError):
        await database.write(Work(StateUnavailableError()))
    assert 80 < clock.time <= 90


async def test_without_patience_an_absent_database_is_reported_at_once(impatient: Database, clock: Clock) -> None:
    with pytest.raises(StateUnavailableError):
        await impatient.read(Work(StateUnavailableError()))
    assert clock.time == 0


async def test_a_question_about_health_is_answered_at_once(database: Database, clock: Clock) -> None:
    with pytest.raises(StateBusyError):
        await database.read(Work(StateBusyError()), patient=False)
    assert clock.time == 0


async def test_losing_to_another_writer_gets_some_turns_even_without_patience(impatient: Database) -> None:
    lucky, unlucky = Work(StateBusyError(), lambda tries: tries == LEAST_ATTEMPTS), Work(StateBusyError())

    assert await impatient.write(lucky) == "done"
    with pytest.raises(StateBusyError):
        await impatient.write(unlucky)
    assert unlucky.tries == LEAST_ATTEMPTS


async def test_a_duplicate_is_tried_again_only_where_asked(database: Database) -> None:
    once, twice = (
        Work(DuplicateKeyError(), lambda tries: tries == 2),
        Work(DuplicateKeyError(), lambda tries: tries == 2),
    )

    with pytest.raises(DuplicateKeyError):
        await database.write(once)
    assert await database.write(twice, again_on_duplicate=True) == "done"
    assert (once.tries, twice.tries) == (1, 2)


async def test_what_only_a_person_can_mend_is_not_tried_again(database: Database) -> None:
    work = Work(StateSchemaError())

    with pytest.raises(StateSchemaError):
        await database.write(work)
    assert work.tries == 1


async def test_a_unit_that_raises_leaves_nothing_behind(database: Database) -> None:
    def create(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE notes (note TEXT)"))

    def write_and_fail(connection: Connection) -> None:
        connection.execute(text("INSERT INTO notes VALUES ('half')"))
        raise KeyError("note")

    await database.write(create)
    with pytest.raises(KeyError):
        await database.write(write_and_fail)

    assert await database.read(lambda c: c.execute(text("SELECT count(*) FROM notes")).scalar()) == 0


async def test_a_server_that_does_not_count_rows_is_not_trusted(database: Database) -> None:
    def update_two(connection: Connection) -> bool:
        connection.execute(text("CREATE TABLE notes (note TEXT)"))
        connection.execute(text("INSERT INTO notes VALUES ('a'), ('b')"))
        return changed(connection, update(table("notes", column("note"))).values(note="c"))

    with pytest.raises(StateError, match="2 changed rows"):
        await database.write(update_two)


class Uncounted:
    """A connection to a server that sends no counts along, and what its session says when asked."""

    def __init__(self, rows: int) -> None:
        self.dialect = SimpleNamespace(name="mssql")
        self.asked: list[str] = []
        self._rows = rows

    def execute(self, statement: Any) -> Any:
        self.asked.append(str(statement))
        return SimpleNamespace(rowcount=-1, scalar_one=lambda: self._rows)


@pytest.mark.parametrize(("rows", "expected"), [(0, False), (1, True)])
def test_rows_that_were_not_counted_on_the_wire_are_asked_for(rows: int, expected: bool) -> None:
    connection: Any = Uncounted(rows)

    assert changed(connection, update(table("notes", column("note"))).values(note="c")) is expected
    assert connection.asked[1:] == ["SELECT @@ROWCOUNT"]

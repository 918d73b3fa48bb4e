"""Running units of work: in a thread, in a transaction, again while it may help, with errors in our own words."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine, Update, text
from sqlalchemy.exc import SQLAlchemyError

from libs.common.clock import Clock
from libs.common.state.errors import (
    DuplicateKeyError,
    StateBusyError,
    StateError,
    StateUnavailableError,
    StateValueError,
)
from libs.common.state.faults import state_error
from libs.common.state.sqlite import WRITES
from libs.common.state.tables import Tables

T = TypeVar("T")
Work = Callable[[Connection], T]

FIRST_PAUSE_SEC = 0.05
LONGEST_PAUSE_SEC = 5.0
LEAST_ATTEMPTS = 6
ROWS_OF_LAST_STATEMENT = text("SELECT @@ROWCOUNT")
PASSING: tuple[type[StateError], ...] = (StateUnavailableError, StateBusyError)


class Database:
    """An engine, its threads, and the patience that calls have with it.

    A unit of work is a plain function of a connection that runs in one transaction: committed when it returns, rolled
    back when it raises. It must be safe to run again, also where the first run's commit succeeded without our hearing
    of it.
    """

    def __init__(self, engine: Engine, tables: Tables, *, threads: int, patience_sec: float, clock: Clock) -> None:
        self.tables = tables
        self._engine = engine
        self._writer = engine.execution_options(**{WRITES: True})
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="state")
        self._patience_sec = patience_sec
        self._clock = clock

    async def read(self, work: Work[T], *, patient: bool = True) -> T:
        """Run `work` in a transaction that sees everything committed before it began and writes nothing."""
        return await self._run(self._engine, work, again=PASSING, patient=patient)

    async def write(self, work: Work[T], *, again_on_duplicate: bool = False) -> T:
        """Run `work` in a transaction that may write.

        Raises DuplicateKeyError where a unique constraint refused it; with `again_on_duplicate` it runs again instead,
        and is expected to find what stood in its way.
        """
        return await self._run(
            self._writer, work, again=(*PASSING, DuplicateKeyError) if again_on_duplicate else PASSING
        )

    async def aclose(self) -> None:
        """Let running units end, then close all connections."""
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._engine.dispose)

    async def _run(
        self, engine: Engine, work: Work[T], *, again: tuple[type[StateError], ...], patient: bool = True
    ) -> T:
        deadline = self._clock.monotonic() + (self._patience_sec if patient else 0.0)
        pause_sec = FIRST_PAUSE_SEC
        attempts = 0
        while True:
            try:
                return await self._in_thread(engine, work)
            except again as error:
                attempts += 1
                # Losing to another writer says nothing about the database's health: such calls always get some turns.
                lost = patient and not isinstance(error, StateUnavailableError) and attempts < LEAST_ATTEMPTS
                if not lost and self._clock.monotonic() + pause_sec > deadline:
                    raise
            await self._clock.sleep(pause_sec * random.uniform(0.5, 1.0))
            pause_sec = min(pause_sec * 2, LONGEST_PAUSE_SEC)

    async def _in_thread(self, engine: Engine, work: Work[T]) -> T:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, context.run, _in_transaction, engine, work)


class Store:
    """What the operations on each table are built on."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._tables = database.tables


def _in_transaction(engine: Engine, work: Work[T]) -> T:
    try:
        with engine.begin() as connection:
            return work(connection)
    except SQLAlchemyError as error:
        raise state_error(error) from error
    except OverflowError as error:  # SQLAlchemy lets through what a driver raises before it asks the database
        raise StateValueError(f"A value does not fit the state tables: {error}.") from error


def changed(connection: Connection, statement: Update) -> bool:
    """Run a compare-and-set of one row and say whether it had its effect.

    Raises StateError where the number of changed rows cannot be had: nothing here would be safe without it.
    """
    count = count_changed(connection, statement)
    if count not in (0, 1):
        raise StateError(f"The state database reported {count} changed rows where 0 or 1 are possible.")
    return count == 1


def count_changed(connection: Connection, statement: Update) -> int:
    """Run an update and return how many rows it changed; negative where the server does not tell."""
    count = connection.execute(statement).rowcount
    if count < 0 and connection.dialect.name == "mssql":
        # Not every server sends the count along (NOCOUNT, a trigger, another make); the session knows it all the same.
        count = int(connection.execute(ROWS_OF_LAST_STATEMENT).scalar_one())
    return count

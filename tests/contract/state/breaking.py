"""A connection to the state tables that breaks where a test says, underneath SQLAlchemy, on either driver."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine

from libs.common.state import State


class Point(StrEnum):
    """Where in a transaction it breaks, and what the server then does."""

    STATEMENT = "at a statement"
    """Before the commit: the server rolls back."""
    BEFORE_COMMIT = "before the commit"
    """Every statement had its answer; the commit does not arrive, and the server rolls back."""
    IN_COMMIT = "in the commit"
    """The server is still at it when the client gives up, and commits while the client tries again."""
    AFTER_COMMIT = "after the commit"
    """The server has committed; the answer is lost."""


class Breaker:
    """Counts the transactions of an engine, and breaks the one it is told to."""

    def __init__(self, engine: Engine) -> None:
        self._dialect: Any = engine.dialect
        self._count = 0
        self._which: int | None = None
        self._point: Point | None = None
        self._held: list[Any] = []
        self._again = threading.Event()
        self._late: list[threading.Thread] = []
        self.broken = 0
        """Transactions since the last `arm`, which is one at most."""

    def arm(self, point: Point | None, which: int | None = None) -> None:
        """Break the first transaction from now on that comes to `point`, or only the `which`th."""
        self._count, self._which, self._point, self.broken = 0, which, point, 0
        self._again.clear()

    @property
    def transactions(self) -> int:
        """Begun since the last `arm`."""
        return self._count

    def join(self) -> None:
        """Return when late commits are through."""
        self._again.set()
        for thread in self._late:
            thread.join()

    def begin(self, connection: Any) -> None:
        self._count += 1
        self._do["do_begin"](connection)

    def execute(self, cursor: Any, statement: str, *rest: Any) -> None:
        if self.broken:
            self._again.set()  # the client tries again
        if self._is_here(Point.STATEMENT) and not statement.startswith("BEGIN"):
            if self._dialect.name != "sqlite":
                cursor.connection.close()
            self._break()
        self._do["do_execute"](cursor, statement, *rest)

    def commit(self, connection: Any) -> None:
        if self._is_here(Point.BEFORE_COMMIT):
            if self._dialect.name != "sqlite":
                connection.dbapi_connection.close()
            self._break()
        if self._is_here(Point.IN_COMMIT):
            held = connection.dbapi_connection
            connection.detach()
            self._held.append(held)
            self._late.append(threading.Thread(target=self._commit_late, args=(held,)))
            self._late[-1].start()
            self._break()
        self._do["do_commit"](connection)
        if self._is_here(Point.AFTER_COMMIT):
            self._break()

    def rollback(self, connection: Any) -> None:
        if connection.dbapi_connection not in self._held:
            self._do["do_rollback"](connection)

    def close(self, connection: Any) -> None:
        if connection not in self._held:
            self._do["do_close"](connection)

    def _commit_late(self, held: Any) -> None:
        self._again.wait()
        held.commit()
        held.close()

    def _is_here(self, point: Point) -> bool:
        return self._point is point and self._which in (None, self._count) and not self.broken

    def _break(self) -> None:
        self.broken += 1
        if self._dialect.name == "sqlite":
            error: Exception = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR  # type: ignore[attr-defined]  # the driver sets it likewise
            raise error
        text = "[08S01] [Microsoft][ODBC Driver 18 for SQL Server]TCP Provider: Error code 0x68 (104) (SQLEndTran)"
        raise self._dialect.loaded_dbapi.OperationalError("08S01", text)

    @contextmanager
    def installed(self) -> Iterator[Breaker]:
        """Between the engine and its driver."""
        hooks = {
            "do_begin": self.begin,
            "do_execute": self.execute,
            "do_commit": self.commit,
            "do_rollback": self.rollback,
            "do_close": self.close,
            "do_terminate": self.close,
        }
        self._do = {name: getattr(self._dialect, name) for name in hooks}
        try:
            for name, hook in hooks.items():
                setattr(self._dialect, name, hook)
            yield self
        finally:
            self.join()
            for name in hooks:
                delattr(self._dialect, name)


@contextmanager
def breaking(state: State) -> Iterator[Breaker]:
    """A breaker below `state`."""
    with Breaker(state._db._engine).installed() as breaker:
        yield breaker

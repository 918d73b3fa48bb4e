"""The embedded database: one file, written by several processes at once."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from libs.common.state.errors import StateUrlError

WRITES = "state_writes"
"""Execution option of an engine: its transactions will write."""

BUSY_TIMEOUT_SEC = 20.0
"""How long a writer waits for the others, unless the URL has a `timeout`; each holds the file for milliseconds."""


def sqlite_engine(url: URL, *, connections: int) -> Engine:
    """An engine on a file, whose folder is created. Raises StateUrlError for a database in memory.

    Write-ahead logging lets readers and the one writer work side by side. A writing transaction takes the write lock
    when it begins: one that read first and asked for the lock later could be refused without waiting.
    """
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StateUrlError(f"{url} names no file, and the services must share one.")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url if "timeout" in url.query else url.update_query_dict({"timeout": str(BUSY_TIMEOUT_SEC)}),
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin transactions by itself: `_begin` does.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # Safe when a process is killed; only a power cut could lose the last transactions.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

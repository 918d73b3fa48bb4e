"""The emulator's SQLite file: names, properties, leases, and what is uploaded but not committed."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS container (
    name TEXT PRIMARY KEY, etag TEXT NOT NULL, modified_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node (
    container TEXT NOT NULL, path TEXT NOT NULL, parent TEXT NOT NULL, is_directory INTEGER NOT NULL,
    created_at REAL NOT NULL, modified_at REAL NOT NULL, etag TEXT NOT NULL,
    content TEXT NOT NULL, size INTEGER NOT NULL, headers TEXT NOT NULL, metadata TEXT NOT NULL,
    lease_id TEXT, lease_duration_sec REAL, lease_until REAL, lease_breaking INTEGER,
    PRIMARY KEY (container, path)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS node_by_parent ON node (container, parent, path);
CREATE TABLE IF NOT EXISTS extent (
    content TEXT NOT NULL, position INTEGER NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (content, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block (
    container TEXT NOT NULL, path TEXT NOT NULL, block_id TEXT NOT NULL, content TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (container, path, block_id)) WITHOUT ROWID;
"""


def connect(file: Path) -> sqlite3.Connection:
    """Open or make the database. A commit survives the death of the process (not of the machine: no fsync)."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(_SCHEMA)
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. There is one connection, so nothing may be awaited inside."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")

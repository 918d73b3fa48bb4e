"""The SQLite file behind the org: records, jobs, per-batch results, sessions, attempts.

One connection writes, on one thread, so that writers never wait for each other's locks; any number read beside it
(write-ahead log). A committed transaction survives a kill of the process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libs.emulators.salesforce.schema import DECIMAL_TYPES, Field, Schema, SchemaError, SObject

DEFAULT_USER_ID = "0055e000000000BAAQ"

_TABLES = """
CREATE TABLE IF NOT EXISTS session (
    token TEXT PRIMARY KEY, username TEXT NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS job (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, operation TEXT NOT NULL, object TEXT NOT NULL,
    external_id_field TEXT, line_ending TEXT NOT NULL, column_delimiter TEXT NOT NULL, api_version TEXT NOT NULL,
    state TEXT NOT NULL, created_at TEXT NOT NULL, modified_at TEXT NOT NULL, upload_bytes INTEGER,
    next_offset INTEGER NOT NULL DEFAULT 0, processed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    error_message TEXT, processing_ms INTEGER NOT NULL DEFAULT 0
);
-- one row per processed batch, written in the transaction that applies its records
CREATE TABLE IF NOT EXISTS batch (
    job_id TEXT NOT NULL, first_offset INTEGER NOT NULL, end_offset INTEGER NOT NULL,
    saved BLOB NOT NULL, failures BLOB NOT NULL, failed INTEGER NOT NULL,
    PRIMARY KEY (job_id, first_offset)
) WITHOUT ROWID;
-- how often each external id reached the org, accepted or not
CREATE TABLE IF NOT EXISTS attempt (
    object TEXT NOT NULL, external_id TEXT NOT NULL COLLATE NOCASE, times INTEGER NOT NULL,
    PRIMARY KEY (object, external_id)
) WITHOUT ROWID;
"""


def _column_type(field: Field) -> str:
    if field.type in DECIMAL_TYPES or field.type in ("int", "boolean"):
        kind = "INTEGER"
    else:
        # Salesforce compares text without regard to case; SQLite's NOCASE does so for ASCII
        kind = "TEXT" if field.case_sensitive else "TEXT COLLATE NOCASE"
    if field.type == "boolean":
        kind += " NOT NULL DEFAULT 0"
    if field.type == "reference" and field.defaulted_on_create:
        kind += f" DEFAULT '{DEFAULT_USER_ID}'"
    return kind


class Database:
    """Opens the file and makes the tables of every object in the schema.

    Raises SchemaError if the file holds an object whose fields the schema now declares with other types.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = path
        self.writer = self.connect()
        try:
            self.writer.execute("PRAGMA journal_mode = WAL")
            self.writer.executescript(_TABLES)
            for one in schema.objects:
                self._create(one)
        except BaseException:
            self.writer.close()
            raise

    def connect(self) -> sqlite3.Connection:
        """Open one more connection; the caller closes it."""
        connection = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open a connection for one read."""
        connection = self.connect()
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run one write transaction: commits at the end, rolls back on any exception. On the writer thread only."""
        self.writer.execute("BEGIN IMMEDIATE")
        try:
            yield self.writer
        except BaseException:
            self.writer.execute("ROLLBACK")
            raise
        self.writer.execute("COMMIT")

    def close(self) -> None:
        """Close the writing connection."""
        self.writer.close()

    def _create(self, one: SObject) -> None:
        columns = {field.name: _column_type(field) for field in one.fields if field.stored}
        listed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        self.writer.execute(f"CREATE TABLE IF NOT EXISTS {one.table} (seq INTEGER PRIMARY KEY, {listed})")
        present = {row[1]: row[2] for row in self.writer.execute(f"PRAGMA table_info({one.table})")}
        for name, kind in columns.items():
            if name not in present:
                self.writer.execute(f'ALTER TABLE {one.table} ADD COLUMN "{name}" {kind}')
            elif present[name] != kind.split()[0]:
                raise SchemaError(
                    f"{self.path}: {one.name}.{name} was stored as {present[name]}, the schema now says "
                    f"{kind.split()[0]}; start with another --data directory or the former schema"
                )
        for field in one.fields:
            if field.unique or field.external_id:
                unique = "UNIQUE" if field.unique else ""
                index = f'"index_{one.name}_{field.name}"'
                # deleted records stay for queryAll and must not hold on to their keys
                self.writer.execute(
                    f"CREATE {unique} INDEX IF NOT EXISTS {index} ON {one.table} ({field.column}) WHERE IsDeleted = 0"
                )

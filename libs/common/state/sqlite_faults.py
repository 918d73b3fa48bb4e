"""What SQLite's result codes mean for us (https://www.sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3

from libs.common.state.errors import (
    DuplicateKeyError,
    StateBusyError,
    StateError,
    StatePermissionError,
    StateSchemaError,
    StateUnavailableError,
    StateUrlError,
    StateValueError,
)

PRIMARY_CODES: dict[int, type[StateError]] = {
    sqlite3.SQLITE_BUSY: StateBusyError,
    sqlite3.SQLITE_LOCKED: StateBusyError,
    sqlite3.SQLITE_PROTOCOL: StateBusyError,
    sqlite3.SQLITE_IOERR: StateUnavailableError,
    sqlite3.SQLITE_FULL: StateUnavailableError,
    sqlite3.SQLITE_CANTOPEN: StateUnavailableError,
    sqlite3.SQLITE_READONLY: StatePermissionError,
    sqlite3.SQLITE_PERM: StatePermissionError,
    sqlite3.SQLITE_CORRUPT: StateUrlError,
    sqlite3.SQLITE_NOTADB: StateUrlError,
    sqlite3.SQLITE_CONSTRAINT: StateValueError,
    sqlite3.SQLITE_TOOBIG: StateValueError,
}
DUPLICATE = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


def sqlite_fault(error: sqlite3.Error) -> type[StateError]:
    """The class of an SQLite error, by its extended, else its primary result code."""
    code = getattr(error, "sqlite_errorcode", None)  # absent where the driver itself, not SQLite, objects
    if code is None:
        return StateError
    if code in DUPLICATE:
        return DuplicateKeyError
    if code == sqlite3.SQLITE_ERROR and any(text in str(error) for text in ("no such table", "no such column")):
        return StateSchemaError
    return PRIMARY_CODES.get(code & 0xFF, StateError)

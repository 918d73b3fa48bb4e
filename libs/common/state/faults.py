"""Every driver error, mapped once to the project's own."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from libs.common.state.errors import (
    DuplicateKeyError,
    StateBusyError,
    StateError,
    StatePermissionError,
    StateSchemaError,
    StateSetupError,
    StateUnavailableError,
    StateUrlError,
    StateValueError,
)

_TEXT_LENGTH = 500


def state_error(error: SQLAlchemyError) -> StateError:
    """The error of ours that this one stands for; never quotes statements or parameters."""
    if isinstance(error, PoolTimeoutError):
        return StateBusyError("All connections to the state database are in use.")
    if isinstance(error, DBAPIError) and error.orig is not None:
        text = " ".join(str(error.orig).split())[:_TEXT_LENGTH]
        if isinstance(error.orig, sqlite3.Error):
            return _sqlite_class(error.orig)(f"The state database (SQLite) says: {text}.")
        return StateError(text)
    if isinstance(error, StatementError) and error.orig is not None:
        return StateValueError(f"A value does not fit the state tables: {error.orig}.")
    return StateError(f"{type(error).__name__} at the state database.")


_SQLITE_PRIMARY_CODES: dict[int, type[StateError]] = {
    sqlite3.SQLITE_BUSY: StateBusyError,
    sqlite3.SQLITE_LOCKED: StateBusyError,
    sqlite3.SQLITE_IOERR: StateUnavailableError,
    sqlite3.SQLITE_FULL: StateUnavailableError,
    sqlite3.SQLITE_CANTOPEN: StateUnavailableError,
    sqlite3.SQLITE_PROTOCOL: StateUnavailableError,
    sqlite3.SQLITE_READONLY: StatePermissionError,
    sqlite3.SQLITE_PERM: StatePermissionError,
    sqlite3.SQLITE_CORRUPT: StateSetupError,
    sqlite3.SQLITE_NOTADB: StateUrlError,
}
_SQLITE_DUPLICATE = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


def _sqlite_class(error: sqlite3.Error) -> type[StateError]:
    code = getattr(error, "sqlite_errorcode", None)
    if code in _SQLITE_DUPLICATE:
        return DuplicateKeyError
    if isinstance(error, sqlite3.IntegrityError):
        return StateValueError
    if "no such table" in str(error) or "no such column" in str(error):
        return StateSchemaError
    return _SQLITE_PRIMARY_CODES.get(code & 0xFF, StateError) if code is not None else StateError

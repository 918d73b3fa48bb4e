"""Every driver error, mapped once to the project's own."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from libs.common.state.errors import StateBusyError, StateError, StateValueError
from libs.common.state.mssql_faults import mssql_fault
from libs.common.state.sqlite_faults import sqlite_fault

_TEXT_LENGTH = 500


def state_error(error: SQLAlchemyError) -> StateError:
    """The error of ours that this one stands for; quotes the driver, never statements or parameters."""
    if isinstance(error, PoolTimeoutError):
        return StateBusyError("All connections to the state database are in use.")
    if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
        return _driver_error(error.orig)
    if isinstance(error, StatementError) and error.orig is not None:
        return StateValueError(f"A value does not fit the state tables: {error.orig}.")
    return StateError(f"{type(error).__name__} at the state database: {error}.")


def _driver_error(error: Exception) -> StateError:
    text = " ".join(str(error.args[-1] if error.args else error).split())
    if isinstance(error, sqlite3.Error):
        return sqlite_fault(error)(f"The state database (SQLite) says: {text[:_TEXT_LENGTH]}.")
    sqlstate = str(error.args[0]) if len(error.args) > 1 else ""
    return mssql_fault(sqlstate, text)(f"The state database says: {text[:_TEXT_LENGTH]}")

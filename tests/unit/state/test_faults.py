"""Which error of a driver is which of ours."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import DBAPIError, InvalidRequestError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from libs.common.errors import is_transient
from libs.common.state import errors
from libs.common.state.faults import state_error
from libs.common.state.mssql_faults import NUMBERS, mssql_fault
from libs.common.state.sqlite_faults import sqlite_fault

PREFIX = "[Microsoft][ODBC Driver 18 for SQL Server]"

ODBC_ERRORS = [
    ("23000", "[SQL Server]Cannot insert duplicate key row in object. (2601) (SQLExecDirectW)", "DuplicateKeyError"),
    ("23000", "[SQL Server]Violation of PRIMARY KEY constraint. (2627) (SQLExecDirectW)", "DuplicateKeyError"),
    ("23000", "[SQL Server]duplicate key value violates unique constraint (0) (SQLExecDirectW)", "DuplicateKeyError"),
    ("23000", "[SQL Server]Cannot insert the value NULL into column. (515) (SQLExecDirectW)", "StateValueError"),
    ("40001", "[SQL Server]Transaction was deadlocked on lock resources. (1205) (SQLExecDirectW)", "StateBusyError"),
    ("40001", "[SQL Server]could not serialize access (0) (SQLExecDirectW)", "StateBusyError"),
    ("42000", "[SQL Server]Lock request time out period exceeded. (1222) (SQLExecDirectW)", "StateBusyError"),
    ("HYT00", "[SQL Server]Lock request time out period exceeded. (1222) (SQLExecDirectW)", "StateBusyError"),
    ("HY000", "canceling statement due to lock timeout (33557097) (SQLExecDirectW)", "StateBusyError"),
    ("HY000", 'relation "dbo.pipeline_run" does not exist (33557097) (SQLExecDirectW)', "StateSchemaError"),
    ("HY000", "permission denied for table pipeline_run (33557097) (SQLExecDirectW)", "StatePermissionError"),
    ("HY000", "the database system is shutting down (33557097) (SQLExecDirectW)", "StateUnavailableError"),
    (
        "42000",
        'duplicate key value violates unique constraint "ux_pipeline_run_active" (33557097) (SQLExecDirectW)',
        "DuplicateKeyError",
    ),
    ("42000", 'column "told_at_utc" does not exist (33557097) (SQLExecDirectW)', "StateSchemaError"),
    ("42000", "value too long for type character varying(128) (33557097) (SQLExecDirectW)", "StateValueError"),
    ("42000", "integer out of range (33557097) (SQLExecDirectW)", "StateValueError"),
    ("23000", 'null value in column "x" violates not-null constraint (33557097) (SQLExecDirectW)', "StateValueError"),
    ("42000", "cannot execute UPDATE in a read-only transaction (33557097) (SQLX)", "StateUnavailableError"),
    ("42000", "remaining connection slots are reserved (33557097) (SQLDriverConnect)", "StateUnavailableError"),
    ("42000", "deadlock detected (33557097) (SQLExecDirectW)", "StateBusyError"),
    ("HY000", "something else entirely (33557097) (SQLExecDirectW)", "StateError"),
    ("HYT00", "Login timeout expired (0) (SQLDriverConnect)", "StateUnavailableError"),
    ("HYT00", "Query timeout expired (0) (SQLExecDirectW)", "StateUnavailableError"),
    ("08S01", "TCP Provider: Error code 0x68 (104) (SQLExecDirectW)", "StateUnavailableError"),
    ("08001", "TCP Provider: Error code 0x2749 (10057) (SQLDriverConnect)", "StateUnavailableError"),
    ("42000", "[SQL Server]The service is currently busy. (40501) (SQLExecDirectW)", "StateUnavailableError"),
    ("42000", "[SQL Server]Database is not currently available. (40613) (SQLDriverConnect)", "StateUnavailableError"),
    ("42000", "[SQL Server]Resource ID : 1. The request limit is 120. (10928) (X) (SQLExecDirectW)", "StateError"),
    ("42000", "[SQL Server]The request limit is 120. (10928) (SQLExecDirectW)", "StateUnavailableError"),
    ("42000", "[SQL Server]Cannot process request. Not enough resources. (49918) (SQLX)", "StateUnavailableError"),
    (
        "28000",
        "Cannot open database. (4060) (SQLDriverConnect); Login failed for user. (18456) (SQLDriverConnect)",
        "StateUnavailableError",
    ),
    ("28000", "[SQL Server]Login failed for user 'sa'. (18456) (SQLDriverConnect)", "StateLoginError"),
    ("42000", "[SQL Server]Client with IP address is not allowed. (40615) (SQLDriverConnect)", "StateLoginError"),
    ("FA005", "Cannot use Access Token with UserId. (0) (SQLDriverConnect)", "StateLoginError"),
    ("42000", "[SQL Server]The SELECT permission was denied. (229) (SQLExecDirectW)", "StatePermissionError"),
    ("42000", "[SQL Server]CREATE TABLE permission denied. (262) (SQLExecDirectW)", "StatePermissionError"),
    ("42S02", "[SQL Server]Invalid object name 'dbo.pipeline_run'. (208) (SQLExecDirectW)", "StateSchemaError"),
    ("42S22", "[SQL Server]Invalid column name 'supersedes'. (207) (SQLExecDirectW)", "StateSchemaError"),
    ("22001", "[SQL Server]String or binary data would be truncated. (2628) (SQLExecDirectW)", "StateValueError"),
    ("22008", "Datetime field overflow. (0) (SQLExecDirectW)", "StateValueError"),
    ("IM002", "Data source name not found and no default driver specified (0) (SQLDriverConnect)", "StateDriverError"),
    (
        "01000",
        "[unixODBC][Driver Manager]Can't open lib 'x' : file not found (0) (SQLDriverConnect)",
        "StateDriverError",
    ),
    (
        "08001",
        "SSL Provider: [error:0A000086:SSL routines::certificate verify failed] (-1) (SQLDriverConnect)",
        "StateTlsError",
    ),
    ("HY000", "Never heard of it. (31337) (SQLExecDirectW)", "StateError"),
    ("42000", "[SQL Server]There is already an object named 'x'. (2714) (SQLExecDirectW)", "StateError"),
]

TERMINAL = {
    "StateValueError",
    "StateSchemaError",
    "StatePermissionError",
    "StateLoginError",
    "StateDriverError",
    "StateTlsError",
    "StateUrlError",
}


@pytest.mark.parametrize(("sqlstate", "text", "expected"), ODBC_ERRORS)
def test_an_odbc_error_is_known_by_number_then_sqlstate(sqlstate: str, text: str, expected: str) -> None:
    kind = mssql_fault(sqlstate, f"[{sqlstate}] {PREFIX}{text}")

    assert kind.__name__ == expected
    assert is_transient(kind()) == (expected not in TERMINAL)


@pytest.mark.parametrize("number", [2601, 2627, 1205, 1222, 40197, 49919, 49920, 10929, 233, 18456, 229, 208])
def test_a_number_counts_whatever_the_sqlstate(number: int) -> None:
    assert mssql_fault("HY000", f"[HY000] {PREFIX}text ({number}) (SQLExecDirectW)") is not errors.StateError


def test_every_number_is_mapped_once() -> None:
    numbers = [number for _, known in NUMBERS for number in known]

    assert len(numbers) == len(set(numbers))
    assert {2601, 2627, 1205, 1222, 40197, 40501, 40613, 49918, 4060, 18456, 229, 208} <= set(numbers)


def test_numbers_inside_the_text_are_no_error_numbers() -> None:
    assert mssql_fault("42000", "[42000] Incorrect value (208) near 'x'. (102) (SQLExecDirectW)") is errors.StateError


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (sqlite3.SQLITE_BUSY, "database is locked", errors.StateBusyError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "database is locked", errors.StateBusyError),
        (sqlite3.SQLITE_CANTOPEN, "unable to open database file", errors.StateUnavailableError),
        (sqlite3.SQLITE_IOERR_WRITE, "disk I/O error", errors.StateUnavailableError),
        (sqlite3.SQLITE_FULL, "database or disk is full", errors.StateUnavailableError),
        (sqlite3.SQLITE_READONLY, "attempt to write a readonly database", errors.StatePermissionError),
        (sqlite3.SQLITE_NOTADB, "file is not a database", errors.StateUrlError),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, "UNIQUE constraint failed", errors.DuplicateKeyError),
        (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, "UNIQUE constraint failed", errors.DuplicateKeyError),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, "NOT NULL constraint failed", errors.StateValueError),
        (sqlite3.SQLITE_ERROR, "no such table: pipeline_run", errors.StateSchemaError),
        (sqlite3.SQLITE_ERROR, "no such column: supersedes", errors.StateSchemaError),
        (sqlite3.SQLITE_ERROR, 'near "SELEC": syntax error', errors.StateError),
    ],
)
def test_an_sqlite_error_is_known_by_its_code(code: int, text: str, expected: type[errors.StateError]) -> None:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code

    assert sqlite_fault(error) is expected


def test_an_error_of_the_sqlite_driver_itself_is_unclassified() -> None:
    assert sqlite_fault(sqlite3.ProgrammingError("Cannot operate on a closed database.")) is errors.StateError


def test_the_text_quotes_the_driver_but_neither_statement_nor_parameters() -> None:
    original = RuntimeError("08S01", "[08S01] Communication\nlink failure (0) (SQLExecDirectW)")
    error = DBAPIError("UPDATE pipeline_run SET …", {"error_message": "private"}, original)

    ours = state_error(error)

    assert type(ours) is errors.StateUnavailableError
    assert str(ours) == "The state database says: [08S01] Communication link failure (0) (SQLExecDirectW)"


def test_a_value_that_python_cannot_bind_is_terminal() -> None:
    assert type(state_error(StatementError("m", "s", {}, ValueError("too long")))) is errors.StateValueError


def test_an_exhausted_pool_is_transient() -> None:
    assert type(state_error(PoolTimeoutError("QueuePool limit"))) is errors.StateBusyError


def test_anything_else_of_sqlalchemy_is_unclassified_and_so_transient() -> None:
    ours = state_error(InvalidRequestError("odd"))

    assert type(ours) is errors.StateError
    assert is_transient(ours)

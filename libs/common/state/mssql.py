"""Azure SQL and SQL Server through pyodbc, which is imported only when a URL asks for it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, create_engine

from libs.common.state.errors import StateDriverError, StateError
from libs.common.state.mssql_faults import mssql_fault
from libs.common.state.odbc import find_driver, odbc_target, wanted_driver

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

CONNECT_TIMEOUT_SEC = 15
QUERY_TIMEOUT_SEC = 30
LOCK_TIMEOUT_SEC = 10
SESSION_OPTIONS = (f"SET LOCK_TIMEOUT {LOCK_TIMEOUT_SEC * 1000}", "SET NOCOUNT OFF")
RECYCLE_SEC = 1800
"""A connection is replaced at this age: below the shortest life of an Entra token (an hour) and the idle time-outs of
Azure's gateways (30 minutes)."""


def mssql_engine(
    url: URL, *, credential: TokenCredential | None, connections: int, odbc_driver: str | None, dbapi: Any = None
) -> Engine:
    """An engine that has not connected yet. `odbc_driver` is the setting ODBC_DRIVER, read here unless given.

    Raises StateDriverError where pyodbc, its library or the driver is missing, StateUrlError.
    """
    pyodbc = dbapi or load_pyodbc()
    driver = find_driver(wanted_driver(url, odbc_driver or os.environ.get("ODBC_DRIVER")), registered=pyodbc.drivers())
    target = odbc_target(url, driver)
    attributes: Callable[[], Mapping[int, bytes]] = dict
    if target.needs_token:
        # Not at the top: a process with an embedded database has no use for Azure's SDK.
        from libs.common.state.entra import TokenSource, default_credential

        attributes = TokenSource(credential or default_credential(target.managed_identity)).attributes

    return create_engine(
        "mssql+pyodbc://",
        creator=connector(pyodbc, target.connection_string, attributes),
        module=pyodbc,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        pool_recycle=RECYCLE_SEC,
        hide_parameters=True,
    )


def connector(pyodbc: Any, connection_string: str, attributes: Callable[[], Mapping[int, bytes]]) -> Callable[[], Any]:
    """What the pool calls for a new connection; `attributes` are asked for each time, because a token ages."""

    def connect() -> Any:
        connection = pyodbc.connect(
            connection_string, timeout=CONNECT_TIMEOUT_SEC, attrs_before=dict(attributes()), autocommit=False
        )
        try:
            connection.timeout = QUERY_TIMEOUT_SEC
            _set_options(pyodbc, connection)
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


def _set_options(pyodbc: Any, connection: Any) -> None:
    """The session's options, each where the server knows it; a broken connection raises."""
    for option in SESSION_OPTIONS:
        try:
            connection.execute(option).close()
            connection.commit()
        except pyodbc.Error as error:
            # Another make of server may not have it, and can do without: the time-out of a statement bounds a lock's
            # too, and rows that are not counted on the wire are asked for.
            if mssql_fault(str(error.args[0]), str(error.args[-1])) is not StateError:
                raise
            connection.rollback()


def load_pyodbc() -> Any:
    """The module, with its own pooling off: SQLAlchemy pools. Raises StateDriverError, which says what to install."""
    try:
        pyodbc: Any = importlib.import_module("pyodbc")
    except ModuleNotFoundError as error:
        raise StateDriverError(
            "STATE_URL is for SQL Server, and the Python package pyodbc is not installed.",
            next_step="Install the distribution with its `odbc` extra: pip install 'retl[odbc]'.",
        ) from error
    except ImportError as error:
        raise StateDriverError(
            f"pyodbc cannot be loaded: {error}.",
            next_step="Install unixODBC and what the driver needs (Debian: apt-get install libodbc2 libltdl7 "
            "libgssapi-krb5-2).",
        ) from error
    pyodbc.pooling = False
    return pyodbc

"""From STATE_URL to a SQLAlchemy engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from libs.common.state.errors import StateUrlError
from libs.common.state.mssql import mssql_engine
from libs.common.state.sqlite import sqlite_engine
from libs.common.state.tables import Naming

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

DEFAULT_SCHEMA = "dbo"


def parse_url(url: str) -> URL:
    """STATE_URL, taken apart. Raises StateUrlError, which does not quote it: it may hold a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StateUrlError("STATE_URL is no database URL.") from None
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "mssql+pyodbc"):
        raise StateUrlError(f"STATE_URL is for {parsed.drivername}, which is not supported.")
    return parsed


def is_embedded(url: str) -> bool:
    """Whether the database is a file of ours instead of a server."""
    return parse_url(url).get_backend_name() == "sqlite"


def open_engine(
    url: str,
    *,
    credential: TokenCredential | None,
    schema: str | None,
    prefix: str,
    connections: int,
    odbc_driver: str | None = None,
) -> tuple[Engine, Naming]:
    """An engine that has not connected yet, and where its tables live. Raises StateUrlError, StateDriverError."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        if schema is not None:
            raise StateUrlError("SQLite has no schemas; give a prefix instead.")
        return sqlite_engine(parsed, connections=connections), Naming(None, prefix)
    engine = mssql_engine(parsed, credential=credential, connections=connections, odbc_driver=odbc_driver)
    return engine, Naming(schema or DEFAULT_SCHEMA, prefix)

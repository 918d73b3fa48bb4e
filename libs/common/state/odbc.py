"""What Microsoft's ODBC driver is told: which server, how to sign in, encrypted unless the URL says otherwise.

Keywords: https://learn.microsoft.com/sql/connect/odbc/dsn-connection-string-attribute.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL

from libs.common.state.errors import StateDriverError, StateUrlError

DRIVER_NAMES = ("ODBC Driver 18 for SQL Server", "ODBC Driver 17 for SQL Server")
DRIVER_FILES = "/opt/microsoft/msodbcsql18/lib64/libmsodbcsql-18*.so*"
INSTALL_DRIVER = (
    "Install Microsoft's ODBC Driver 18 (package msodbcsql18 of packages.microsoft.com), or set ODBC_DRIVER to the "
    "driver's name in odbcinst.ini or to the path of libmsodbcsql-18.*.so*."
)
APPLICATION = "retl"

_PIECE = re.compile(r"\s*([^=;{}]+?)\s*=\s*(\{(?:[^}]|\}\})*\}|[^;]*)\s*(?:;|$)")
_SPECIAL = re.compile(r"[\[\]{}();?*=!@\s]")
_SERVER_NAMES = ("server", "address", "addr", "network address")


@dataclass(frozen=True, slots=True)
class OdbcTarget:
    """A finished connection string, and whether an Entra token goes with it."""

    connection_string: str = field(repr=False)
    needs_token: bool
    managed_identity: str | None
    """Client id of the user-assigned identity that the URL names as its user; None for the default one."""


def odbc_target(url: URL, driver: str) -> OdbcTarget:
    """The connection string for `mssql+pyodbc://[user[:password]@]host[:port]/database[?Keyword=value…]`.

    `?odbc_connect=<connection string>` is taken apart and completed likewise. Without a password (or another way to
    sign in: Trusted_Connection, Authentication) an Entra token is needed; a user without a password is then the client
    id of a user-assigned managed identity. Raises StateUrlError where no server or database is named.
    """
    keywords = {"Encrypt": "yes", "TrustServerCertificate": "no", "APP": APPLICATION}
    for name, value in _given(url):
        keywords = {known: v for known, v in keywords.items() if known.lower() != name.lower()} | {name: value}
    given = {name.lower(): value for name, value in keywords.items()}
    if not any(given.get(name) for name in _SERVER_NAMES) or not given.get("database"):
        raise StateUrlError("STATE_URL names no server, or no database on it.")
    trusted = given.get("trusted_connection", "no").lower() in ("yes", "true", "sspi")
    needs_token = not (given.get("pwd") or trusted or given.get("authentication"))
    identity = given.get("uid") if needs_token else None
    if needs_token:  # The driver refuses a token beside a user (FA005).
        keywords = {n: v for n, v in keywords.items() if n.lower() not in ("uid", "pwd", "trusted_connection")}
    text = ";".join(f"{name}={_quoted(value)}" for name, value in {"Driver": driver, **keywords}.items())
    return OdbcTarget(text, needs_token, identity)


def find_driver(wanted: str | None, registered: Iterable[str]) -> str:
    """The `Driver=` of a connection string: as wanted (a name or a path), else the newest that is installed.

    Raises StateDriverError, which says how to install one.
    """
    known = tuple(registered)
    if wanted and "/" in wanted:
        if not Path(wanted).is_file():
            raise StateDriverError(f"ODBC_DRIVER names {wanted}, which does not exist.", next_step=INSTALL_DRIVER)
        return wanted
    if wanted:
        if wanted not in known:
            raise StateDriverError(
                f"ODBC_DRIVER names {wanted!r}; unixODBC knows {', '.join(map(repr, known)) or 'no driver'}.",
                next_step=INSTALL_DRIVER,
            )
        return wanted
    for name in DRIVER_NAMES:
        if name in known:
            return name
    if files := sorted(Path("/").glob(DRIVER_FILES.lstrip("/"))):
        return str(files[-1])
    raise StateDriverError("No ODBC driver for SQL Server is installed.", next_step=INSTALL_DRIVER)


def wanted_driver(url: URL, setting: str | None) -> str | None:
    """What names the driver: the setting ODBC_DRIVER, else `driver=` of the URL."""
    return setting or {name.lower(): value for name, value in _given(url, with_driver=True)}.get("driver")


def _given(url: URL, *, with_driver: bool = False) -> Iterator[tuple[str, str]]:
    query = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    pieces = _pieces(query.pop("odbc_connect", ""))
    if url.host:
        pieces["Server"] = f"tcp:{url.host}" + (f",{url.port}" if url.port else "")
    own: Mapping[str, str | None] = {"Database": url.database, "UID": url.username, "PWD": url.password}
    pieces |= {name: str(value) for name, value in own.items() if value}
    for name, value in (pieces | query).items():
        if with_driver or name.lower() != "driver":
            yield name, value


def _pieces(text: str) -> dict[str, str]:
    pieces = {}
    for match in _PIECE.finditer(text):
        value = match[2].strip()
        pieces[match[1]] = value[1:-1].replace("}}", "}") if value.startswith("{") else value
    return pieces


def _quoted(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}" if _SPECIAL.search(value) else value

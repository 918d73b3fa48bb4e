"""The state tables as services and the operator's command use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from libs.common.clock import Clock, SystemClock
from libs.common.state.checkpoint import Checkpoints
from libs.common.state.database import Database
from libs.common.state.engine import open_engine
from libs.common.state.errors import StateSchemaError
from libs.common.state.gate import Gate
from libs.common.state.parts import Parts
from libs.common.state.revisions import head_revision
from libs.common.state.runs import Runs
from libs.common.state.stages import Stages
from libs.common.state.tables import define_tables

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

CONNECTIONS = 5
"""Of one process; a call waits for one while all are in use."""
PATIENCE_SEC = 90.0
"""How long a call goes on trying while the database is away: a fail-over of Azure SQL takes well under a minute."""


class State(Runs, Stages, Parts, Checkpoints, Gate):
    """Checkpoint, runs, stages and parts, on either database.

    Every method runs off the event loop, in one transaction, and may be called again with the same arguments. Calls
    keep trying for `patience_sec` while the database is busy or away, then raise StateBusyError or
    StateUnavailableError (transient). StateSetupError and what derives from it is terminal and names the next step.
    A cancelled call may still take effect. Times are passed in, zone-aware.
    """

    async def ping(self) -> None:
        """Raise, at once, what keeps the tables from being used; tables of a newer release are good enough."""
        statement = select(self._tables.version.c.version_num)
        found = await self._db.read(lambda c: c.execute(statement).scalar(), patient=False)
        needed = head_revision()
        if found is None or found < needed:
            raise StateSchemaError(f"The state tables are at revision {found}; this release needs {needed}.")

    async def aclose(self) -> None:
        """Close all connections once the calls under way have ended."""
        await self._db.aclose()


def open_state(
    url: str,
    *,
    credential: TokenCredential | None = None,
    schema: str | None = None,
    prefix: str = "",
    odbc_driver: str | None = None,
    patience_sec: float = PATIENCE_SEC,
    clock: Clock | None = None,
) -> State:
    """The state tables at `url` (STATE_URL); connects only when used.

    `sqlite:///<file>` creates the file's folder. `mssql+pyodbc://…` signs in with the URL's user and password or, where
    it holds none, with an Entra token of `credential` (DefaultAzureCredential unless given). `schema` (SQL Server only,
    `dbo` unless given) and `prefix` say which tables, so that several sets can share a database. `odbc_driver` is the
    driver's name or path; ODBC_DRIVER of the environment unless given.

    Raises StateUrlError, StateDriverError.
    """
    engine, naming = open_engine(
        url, credential=credential, schema=schema, prefix=prefix, connections=CONNECTIONS, odbc_driver=odbc_driver
    )
    database = Database(
        engine, define_tables(naming), threads=CONNECTIONS, patience_sec=patience_sec, clock=clock or SystemClock()
    )
    return State(database)

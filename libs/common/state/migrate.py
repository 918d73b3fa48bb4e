"""Bringing the state tables to this release's form."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from libs.common.state.engine import is_embedded, open_engine
from libs.common.state.errors import StateError, StateSetupError
from libs.common.state.faults import state_error
from libs.common.state.sqlite import WRITES
from libs.common.state.tables import Naming

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

ATTEMPTS = 5
_one_at_a_time = threading.Lock()  # Alembic keeps its context in globals of the module


def migrate(
    url: str, *, credential: TokenCredential | None = None, schema: str | None = None, prefix: str = ""
) -> tuple[str | None, str]:
    """Create or upgrade the state tables; returns the revision found and the revision left.

    Nothing happens where they are current. All steps are one transaction, so several may start at once: a table, or
    the row with the revision, can be made only once, and whoever comes second is rolled back, looks again, and finds
    the work done. Raises StateError.
    """
    engine, naming = open_engine(url, credential=credential, schema=schema, prefix=prefix, connections=1)
    try:
        with _one_at_a_time:
            return _upgrade(engine, naming)
    finally:
        engine.dispose()


def migrate_if_embedded(url: str) -> None:
    """`migrate` for a file of ours, at the start of a service; a server's tables are `retl migrate`'s business."""
    if is_embedded(url):
        migrate(url)


def alembic_config(naming: Naming, **attributes: object) -> Config:
    """Alembic's settings; `attributes` reach `migrations/env.py`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes.update(naming=naming, **attributes)
    return config


def head_revision() -> str:
    """The revision that this release needs."""
    head = ScriptDirectory.from_config(alembic_config(Naming())).get_current_head()
    assert head is not None
    return head


def _upgrade(engine: Engine, naming: Naming) -> tuple[str | None, str]:
    head = head_revision()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with engine.execution_options(**{WRITES: True}).begin() as connection:
                before = _current(connection, naming)
                if before != head:
                    command.upgrade(alembic_config(naming, connection=connection), "head")
        except SQLAlchemyError as error:
            fault = state_error(error)
            # Losing the race surfaces under many numbers; only what cannot be a race is final at once.
            if attempt == ATTEMPTS or isinstance(fault, StateSetupError):
                raise fault from error
        else:
            return before, head
    raise StateError("unreachable")


def _current(connection: Connection, naming: Naming) -> str | None:
    context = MigrationContext.configure(
        connection, opts={"version_table": naming.version_table, "version_table_schema": naming.schema}
    )
    return context.get_current_revision()

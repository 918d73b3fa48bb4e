"""Bringing the state tables to this release's form."""

from __future__ import annotations

import random
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from libs.common.state.engine import is_embedded, open_engine
from libs.common.state.errors import StateError, StateSchemaError, StateSetupError
from libs.common.state.faults import state_error
from libs.common.state.sqlite import WRITES
from libs.common.state.tables import Naming

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

ATTEMPTS = 6
PAUSE_SEC = 0.2
_one_at_a_time = threading.Lock()  # Alembic keeps its context in globals of the module


def migrate(
    url: str,
    *,
    credential: TokenCredential | None = None,
    schema: str | None = None,
    prefix: str = "",
    odbc_driver: str | None = None,
) -> tuple[str | None, str]:
    """Create or upgrade the state tables; returns the revision found and the revision left.

    Nothing happens where they are current. All steps are one transaction, so several may start at once: a table, or
    the row with the revision, can be made only once, and whoever comes second is rolled back, looks again, and finds
    the work done. Raises StateError.
    """
    engine, naming = open_engine(
        url, credential=credential, schema=schema, prefix=prefix, connections=1, odbc_driver=odbc_driver
    )
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


@cache
def head_revision() -> str:
    """The revision that this release needs. Revisions are numbered, so that the text's order is their order."""
    return _revisions()[0]


def _revisions() -> list[str]:
    return [step.revision for step in ScriptDirectory.from_config(alembic_config(Naming())).walk_revisions()]


def _upgrade(engine: Engine, naming: Naming) -> tuple[str | None, str]:
    for attempt in range(1, ATTEMPTS):
        try:
            return _upgrade_once(engine, naming)
        except StateSetupError:
            raise
        except StateError:
            # Most likely the race is lost, which surfaces under many numbers: look again once the winner is done.
            time.sleep(PAUSE_SEC * attempt * random.uniform(0.5, 1.0))
    return _upgrade_once(engine, naming)


def _upgrade_once(engine: Engine, naming: Naming) -> tuple[str | None, str]:
    head = head_revision()
    try:
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            before = _current(connection, naming)
            if before is not None and before not in _revisions():
                raise StateSchemaError(
                    f"The state tables are at revision {before}, which this release ({head}) does not know.",
                    next_step="Use the release that made them, or a newer one.",
                )
            if before != head:
                command.upgrade(alembic_config(naming, connection=connection), "head")
    except SQLAlchemyError as error:
        raise state_error(error) from error
    except CommandError as error:  # the revision was moved under Alembic's feet
        raise StateError(f"The migration was overtaken: {error}.") from error
    return before, head


def _current(connection: Connection, naming: Naming) -> str | None:
    context = MigrationContext.configure(
        connection, opts={"version_table": naming.version_table, "version_table_schema": naming.schema}
    )
    return context.get_current_revision()

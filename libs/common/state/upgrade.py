"""The steps that bring the state tables to this release's form, run by Alembic.

Apart from `migrate`, because Alembic takes longer to import than the rest of the state tables, and a service whose
tables are current has no use for it.
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, update
from sqlalchemy.exc import SQLAlchemyError

from libs.common.state.database import changed
from libs.common.state.errors import StateError, StateSchemaError, StateSetupError
from libs.common.state.faults import state_error
from libs.common.state.revisions import head_revision, revisions
from libs.common.state.sqlite import WRITES
from libs.common.state.tables import Naming, define_tables

ATTEMPTS = 6
PAUSE_SEC = 0.2
_one_at_a_time = threading.Lock()  # Alembic keeps its context in globals of the module


def alembic_config(naming: Naming, **attributes: object) -> Config:
    """Alembic's settings; `attributes` reach `migrations/env.py`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes.update(naming=naming, **attributes)
    return config


def upgrade(engine: Engine, naming: Naming) -> tuple[str | None, str]:
    """All steps that are missing, in one transaction; the revision found and the revision left. Raises StateError."""
    with _one_at_a_time:
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
            if before is not None and before not in revisions():
                raise StateSchemaError(
                    f"The state tables are at revision {before}, which this release ({head}) does not know.",
                    next_step="Use the release that made them, or a newer one.",
                )
            if before != head:
                _claim(connection, naming, before)
                command.upgrade(alembic_config(naming, connection=connection), "head")
    except SQLAlchemyError as error:
        raise state_error(error) from error
    except CommandError as error:  # the revision was moved under Alembic's feet
        raise StateError(f"The migration was overtaken: {error}.") from error
    return before, head


def _claim(connection: Connection, naming: Naming, before: str | None) -> None:
    """Hold the row with the revision until the end, so that others who start meanwhile wait here, and find it changed.

    Where there is none yet, only one can create its table.
    """
    # Alembic would compare its own count of changed rows, which not every server sends along.
    connection.dialect.supports_sane_rowcount = False
    number = define_tables(naming).version.c.version_num
    if before is not None and not changed(
        connection, update(number.table).where(number == before).values({number: before})
    ):
        raise StateError(f"Somebody else is migrating the state tables from revision {before}.")


def _current(connection: Connection, naming: Naming) -> str | None:
    context = MigrationContext.configure(
        connection, opts={"version_table": naming.version_table, "version_table_schema": naming.schema}
    )
    return context.get_current_revision()

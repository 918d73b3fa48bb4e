"""Bringing the state tables to this release's form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from libs.common.state.engine import is_embedded, open_engine
from libs.common.state.revisions import head_revision
from libs.common.state.tables import Naming, define_tables

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


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
        head = head_revision()
        if _is_at(engine, naming, head):
            return head, head
        # Imported here, because every service looks whether its tables are current, and hardly ever are they not.
        from libs.common.state.upgrade import upgrade

        return upgrade(engine, naming)
    finally:
        engine.dispose()


def migrate_if_embedded(url: str) -> None:
    """`migrate` for a file of ours, at the start of a service; a server's tables are `retl migrate`'s business."""
    if is_embedded(url):
        migrate(url)


def _is_at(engine: Engine, naming: Naming, revision: str) -> bool:
    statement = select(define_tables(naming).version.c.version_num)
    try:
        with engine.connect() as connection:
            return connection.execute(statement).scalars().all() == [revision]
    except SQLAlchemyError:
        return False  # no table yet, or a fault that the upgrade meets again and names

"""How Alembic runs the steps: in the caller's transaction, or as a script for a DBA."""

from __future__ import annotations

from typing import Any

from alembic import context

from libs.common.state.tables import Naming

naming: Naming = context.config.attributes["naming"]
options: dict[str, Any] = {"version_table": naming.version_table, "version_table_schema": naming.schema}

if context.is_offline_mode():
    context.configure(dialect_name="mssql", literal_binds=True, transaction_per_migration=True, **options)
else:
    context.configure(connection=context.config.attributes["connection"], **options)

with context.begin_transaction():
    context.run_migrations()

"""Who changed a stage or the checkpoint last, and whether people were told of a run's bad end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from libs.common.state.columns import ShortText, UtcDateTime
from libs.common.state.tables import Naming

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    naming: Naming = context.config.attributes["naming"]
    for table in ("pipeline_checkpoint", "pipeline_stage"):
        op.add_column(naming.name(table), sa.Column("changed_by", ShortText(32)), schema=naming.schema)
    op.add_column(naming.name("pipeline_run"), sa.Column("told_at_utc", UtcDateTime), schema=naming.schema)


def downgrade() -> None:
    naming: Naming = context.config.attributes["naming"]
    op.drop_column(naming.name("pipeline_run"), "told_at_utc", schema=naming.schema)
    for table in ("pipeline_stage", "pipeline_checkpoint"):
        op.drop_column(naming.name(table), "changed_by", schema=naming.schema)

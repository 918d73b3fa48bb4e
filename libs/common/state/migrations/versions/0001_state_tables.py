"""The checkpoint, run, stage and part tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from libs.common.state.columns import JsonText, LongText, Percent, ShortText, UtcDateTime
from libs.common.state.tables import Naming

revision = "0001"
down_revision = None


def upgrade() -> None:
    naming: Naming = context.config.attributes["naming"]
    op.create_table(
        naming.name("pipeline_checkpoint"),
        sa.Column("pipeline_name", ShortText(128), nullable=False),
        sa.Column("last_successful_week_start", sa.DATE),
        sa.Column("last_successful_week_end", sa.DATE),
        sa.Column("next_week_start", sa.DATE),
        sa.Column("next_week_end", sa.DATE),
        sa.Column("updated_at_utc", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("pipeline_name", name=naming.key("pk", "pipeline_checkpoint")),
        schema=naming.schema,
    )
    op.create_table(
        naming.name("pipeline_run"),
        sa.Column("run_id", ShortText(128), nullable=False),
        sa.Column("pipeline_name", ShortText(128), nullable=False),
        sa.Column("batch_week_start", sa.DATE, nullable=False),
        sa.Column("batch_week_end", sa.DATE, nullable=False),
        sa.Column("status", ShortText(20), nullable=False),
        sa.Column("requested_by", ShortText(256), nullable=False),
        sa.Column("requested_at_utc", UtcDateTime, nullable=False),
        sa.Column("correlation_id", ShortText(128), nullable=False),
        sa.Column("dry_run", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("options", JsonText),
        sa.Column("started_at_utc", UtcDateTime, nullable=False),
        sa.Column("active_since_utc", UtcDateTime, nullable=False),
        sa.Column("finished_at_utc", UtcDateTime),
        sa.Column("rows_fetched", sa.BigInteger),
        sa.Column("rows_output", sa.BigInteger),
        sa.Column("rows_rejected", sa.BigInteger),
        sa.Column("reject_rate_pct", Percent),
        sa.Column("output_path", ShortText(1000)),
        sa.Column("error_code", ShortText(128)),
        sa.Column("error_message", ShortText(4000)),
        sa.Column("error_next_step", ShortText(1000)),
        sa.Column("supersedes", ShortText(128)),
        sa.Column("superseded_by", ShortText(128)),
        sa.Column("moved_checkpoint", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("changed_by", ShortText(32), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=naming.key("pk", "pipeline_run")),
        schema=naming.schema,
    )
    week = ["pipeline_name", "batch_week_start", "batch_week_end"]
    for name, condition in (
        ("pipeline_run_active", "status = 'STARTED'"),
        ("pipeline_run_successful", "dry_run = 0 AND status IN ('SUCCESS', 'SUCCESS_WITH_REJECTS')"),
    ):
        op.create_index(
            naming.key("ux", name),
            naming.name("pipeline_run"),
            week,
            unique=True,
            schema=naming.schema,
            mssql_where=sa.text(condition),
            sqlite_where=sa.text(condition),
        )
    op.create_index(
        naming.key("ix", "pipeline_run_started"),
        naming.name("pipeline_run"),
        ["pipeline_name", "started_at_utc"],
        schema=naming.schema,
    )
    op.create_table(
        naming.name("pipeline_stage"),
        sa.Column("run_id", ShortText(128), nullable=False),
        sa.Column("stage_name", ShortText(20), nullable=False),
        sa.Column("status", ShortText(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("row_count", sa.BigInteger),
        sa.Column("rejected_count", sa.BigInteger),
        sa.Column("parts_total", sa.Integer),
        sa.Column("started_at_utc", UtcDateTime, nullable=False),
        sa.Column("finished_at_utc", UtcDateTime),
        sa.Column("error_code", ShortText(128)),
        sa.Column("error_message", ShortText(4000)),
        sa.Column("error_next_step", ShortText(1000)),
        sa.Column("details", JsonText),
        sa.Column("outgoing", LongText),
        sa.Column("published", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stage_name", name=naming.key("pk", "pipeline_stage")),
        schema=naming.schema,
    )
    op.create_table(
        naming.name("pipeline_part"),
        sa.Column("run_id", ShortText(128), nullable=False),
        sa.Column("stage_name", ShortText(20), nullable=False),
        sa.Column("part_index", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("row_count", sa.BigInteger, nullable=False),
        sa.Column("rejected_count", sa.BigInteger, nullable=False),
        sa.Column("details", JsonText),
        sa.Column("outgoing", LongText),
        sa.Column("published", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("changed_by", ShortText(32), nullable=False),
        sa.Column("recorded_at_utc", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stage_name", "part_index", name=naming.key("pk", "pipeline_part")),
        schema=naming.schema,
    )


def downgrade() -> None:
    naming: Naming = context.config.attributes["naming"]
    for name in ("pipeline_part", "pipeline_stage", "pipeline_run", "pipeline_checkpoint"):
        op.drop_table(naming.name(name), schema=naming.schema)

"""The tables, defined once for both dialects. `migrations/` creates them; a test holds the two together.

There are no foreign keys: each insert of a stage or a part would lock its run's row, and many replicas insert at once.
Rows of a run are only ever written by whoever holds a message of that run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import (
    DATE,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    text,
)

from libs.common.state.columns import JsonText, LongText, Percent, ShortText, UtcDateTime
from libs.common.state.errors import StateUrlError

NAME_LENGTH = 128
MESSAGE_LENGTH = 4000
NEXT_STEP_LENGTH = 1000
PATH_LENGTH = 1000

ACTIVE = "status = 'STARTED'"
SUCCESSFUL = "dry_run = 0 AND status IN ('SUCCESS', 'SUCCESS_WITH_REJECTS')"


@dataclass(frozen=True, slots=True)
class Naming:
    """Where the tables live: a schema (SQL Server only; `dbo` unless told otherwise) and a prefix of every name."""

    schema: str | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        for part in (self.schema, self.prefix):
            if part and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,40}", part):
                raise StateUrlError(f"{part!r} is no name for a schema or a prefix: letters, digits and _, 41 at most.")

    def name(self, base: str) -> str:
        """The name of a table."""
        return f"{self.prefix}{base}"

    def key(self, kind: str, base: str) -> str:
        """The name of a constraint or an index, which must differ between prefixes too."""
        return f"{kind}_{self.prefix}{base}"

    @property
    def version_table(self) -> str:
        """Where Alembic notes the revision."""
        return self.name("pipeline_schema_version")


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables under one naming."""

    naming: Naming
    metadata: MetaData
    checkpoint: Table
    run: Table
    stage: Table
    part: Table
    version: Table
    """Alembic's own; defined here to be read."""


def define_tables(naming: Naming) -> Tables:
    """Build the definitions; nothing is created."""
    metadata = MetaData(schema=naming.schema)
    return Tables(
        naming=naming,
        metadata=metadata,
        checkpoint=_checkpoint(naming, metadata),
        run=_run(naming, metadata),
        stage=_stage(naming, metadata),
        part=_part(naming, metadata),
        version=_version(naming, metadata),
    )


def _checkpoint(naming: Naming, metadata: MetaData) -> Table:
    return Table(
        naming.name("pipeline_checkpoint"),
        metadata,
        Column("pipeline_name", ShortText(NAME_LENGTH), nullable=False),
        Column("last_successful_week_start", DATE),
        Column("last_successful_week_end", DATE),
        Column("next_week_start", DATE),
        Column("next_week_end", DATE),
        Column("updated_at_utc", UtcDateTime, nullable=False),
        _changed_by(),
        PrimaryKeyConstraint("pipeline_name", name=naming.key("pk", "pipeline_checkpoint")),
    )


def _run(naming: Naming, metadata: MetaData) -> Table:
    week = ("pipeline_name", "batch_week_start", "batch_week_end")
    return Table(
        naming.name("pipeline_run"),
        metadata,
        Column("run_id", ShortText(NAME_LENGTH), nullable=False),
        Column("pipeline_name", ShortText(NAME_LENGTH), nullable=False),
        Column("batch_week_start", DATE, nullable=False),
        Column("batch_week_end", DATE, nullable=False),
        Column("status", ShortText(20), nullable=False),
        Column("requested_by", ShortText(256), nullable=False),
        Column("requested_at_utc", UtcDateTime, nullable=False),
        Column("correlation_id", ShortText(NAME_LENGTH), nullable=False),
        Column("dry_run", Boolean(create_constraint=False), nullable=False),
        Column("options", JsonText),
        Column("started_at_utc", UtcDateTime, nullable=False),
        Column("active_since_utc", UtcDateTime, nullable=False),
        Column("finished_at_utc", UtcDateTime),
        Column("rows_fetched", BigInteger),
        Column("rows_output", BigInteger),
        Column("rows_rejected", BigInteger),
        Column("reject_rate_pct", Percent),
        Column("output_path", ShortText(PATH_LENGTH)),
        *_error_columns(),
        Column("supersedes", ShortText(NAME_LENGTH)),
        Column("superseded_by", ShortText(NAME_LENGTH)),
        Column("moved_checkpoint", Boolean(create_constraint=False), nullable=False),
        _changed_by(nullable=False),
        # When people were told that the run failed or timed out.
        Column("told_at_utc", UtcDateTime),
        PrimaryKeyConstraint("run_id", name=naming.key("pk", "pipeline_run")),
        Index(
            naming.key("ux", "pipeline_run_active"),
            *week,
            unique=True,
            mssql_where=text(ACTIVE),
            sqlite_where=text(ACTIVE),
        ),
        Index(
            naming.key("ux", "pipeline_run_successful"),
            *week,
            unique=True,
            mssql_where=text(SUCCESSFUL),
            sqlite_where=text(SUCCESSFUL),
        ),
        Index(naming.key("ix", "pipeline_run_started"), "pipeline_name", "started_at_utc"),
    )


def _stage(naming: Naming, metadata: MetaData) -> Table:
    return Table(
        naming.name("pipeline_stage"),
        metadata,
        Column("run_id", ShortText(NAME_LENGTH), nullable=False),
        Column("stage_name", ShortText(20), nullable=False),
        Column("status", ShortText(20), nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("row_count", BigInteger),
        Column("rejected_count", BigInteger),
        Column("parts_total", Integer),
        Column("started_at_utc", UtcDateTime, nullable=False),
        Column("finished_at_utc", UtcDateTime),
        *_error_columns(),
        Column("details", JsonText),
        Column("outgoing", LongText),
        Column("published", Boolean(create_constraint=False), nullable=False),
        Column("revision", Integer, nullable=False),
        _changed_by(),
        PrimaryKeyConstraint("run_id", "stage_name", name=naming.key("pk", "pipeline_stage")),
    )


def _part(naming: Naming, metadata: MetaData) -> Table:
    return Table(
        naming.name("pipeline_part"),
        metadata,
        Column("run_id", ShortText(NAME_LENGTH), nullable=False),
        Column("stage_name", ShortText(20), nullable=False),
        Column("part_index", Integer, nullable=False, autoincrement=False),
        Column("row_count", BigInteger, nullable=False),
        Column("rejected_count", BigInteger, nullable=False),
        Column("details", JsonText),
        Column("outgoing", LongText),
        Column("published", Boolean(create_constraint=False), nullable=False),
        Column("revision", Integer, nullable=False),
        _changed_by(nullable=False),
        Column("recorded_at_utc", UtcDateTime, nullable=False),
        PrimaryKeyConstraint("run_id", "stage_name", "part_index", name=naming.key("pk", "pipeline_part")),
    )


def _version(naming: Naming, metadata: MetaData) -> Table:
    return Table(
        naming.version_table,
        metadata,
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{naming.version_table}_pkc"),
    )


def _changed_by(*, nullable: bool = True) -> Column[str]:
    """Which call changed the row last: a call whose commit was not acknowledged finds itself here."""
    return Column("changed_by", ShortText(32), nullable=nullable)


def _error_columns() -> tuple[Column[str], Column[str], Column[str]]:
    return (
        Column("error_code", ShortText(NAME_LENGTH)),
        Column("error_message", ShortText(MESSAGE_LENGTH)),
        Column("error_next_step", ShortText(NEXT_STEP_LENGTH)),
    )

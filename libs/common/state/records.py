"""Between table rows and the dataclasses of `types`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import RowMapping, null

from libs.common.messages import RunOptions
from libs.common.state.tables import MESSAGE_LENGTH, NEXT_STEP_LENGTH
from libs.common.state.types import Checkpoint, Failure, PartRow, Run, RunStatus, Stage, StageRow, StageStatus
from libs.common.week import Week

NO_FAILURE: dict[str, Any] = {"error_code": null(), "error_message": null(), "error_next_step": null()}


def literal_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """Column values in which absence (also an empty JSON object) is the word NULL instead of a parameter.

    A driver must ask the server for the type of a parameter without a value, on each such statement, and servers differ
    in whether they can tell.
    """
    return {name: null() if value is None or value == {} else value for name, value in values.items()}


def failure_values(failure: Failure | None) -> dict[str, Any]:
    """The three error columns; what is too long is cut, and what cannot be stored replaced.

    A failure must be recordable whatever it says.
    """
    if failure is None:
        return dict(NO_FAILURE)
    return {
        "error_code": failure.code,
        "error_message": _cut(failure.message, MESSAGE_LENGTH),
        "error_next_step": _cut(failure.next_step, NEXT_STEP_LENGTH),
    }


def run_of(row: RowMapping) -> Run:
    """A row of `pipeline_run`."""
    return Run(
        run_id=row["run_id"],
        pipeline_name=row["pipeline_name"],
        week=Week(row["batch_week_start"], row["batch_week_end"]),
        status=RunStatus(row["status"]),
        options=msgspec.convert(row["options"], RunOptions),
        requested_by=row["requested_by"],
        requested_at=row["requested_at_utc"],
        correlation_id=row["correlation_id"],
        started_at=row["started_at_utc"],
        active_since=row["active_since_utc"],
        finished_at=row["finished_at_utc"],
        rows_fetched=row["rows_fetched"],
        rows_output=row["rows_output"],
        rows_rejected=row["rows_rejected"],
        reject_rate_pct=row["reject_rate_pct"],
        output_path=row["output_path"],
        error=_failure_of(row),
        supersedes=row["supersedes"],
        superseded_by=row["superseded_by"],
        moved_checkpoint=bool(row["moved_checkpoint"]),
    )


def stage_of(row: RowMapping) -> StageRow:
    """A row of `pipeline_stage`."""
    return StageRow(
        run_id=row["run_id"],
        stage=Stage(row["stage_name"]),
        status=StageStatus(row["status"]),
        attempts=row["attempts"],
        started_at=row["started_at_utc"],
        row_count=row["row_count"],
        rejected_count=row["rejected_count"],
        parts_total=row["parts_total"],
        finished_at=row["finished_at_utc"],
        failure=_failure_of(row),
        details=row["details"],
        outgoing=row["outgoing"],
        published=bool(row["published"]),
        revision=row["revision"],
    )


def part_of(row: RowMapping) -> PartRow:
    """A row of `pipeline_part`."""
    return PartRow(
        run_id=row["run_id"],
        stage=Stage(row["stage_name"]),
        part=row["part_index"],
        row_count=row["row_count"],
        rejected_count=row["rejected_count"],
        recorded_at=row["recorded_at_utc"],
        details=row["details"],
        outgoing=row["outgoing"],
        published=bool(row["published"]),
        revision=row["revision"],
    )


def checkpoint_of(row: RowMapping) -> Checkpoint:
    """A row of `pipeline_checkpoint`."""
    return Checkpoint(
        pipeline_name=row["pipeline_name"],
        last_week=_week_of(row["last_successful_week_start"], row["last_successful_week_end"]),
        next_week=_week_of(row["next_week_start"], row["next_week_end"]),
        updated_at=row["updated_at_utc"],
    )


def _failure_of(row: RowMapping) -> Failure | None:
    if row["error_code"] is None:
        return None
    return Failure(row["error_code"], row["error_message"] or "", row["error_next_step"] or "")


def _week_of(start: date | None, end: date | None) -> Week | None:
    return None if start is None or end is None else Week(start, end)


def _cut(value: str, length: int) -> str:
    """At most `length` UTF-16 units, which is what nvarchar(n) counts, and no half character at the end or within."""
    units = value.replace("\0", "?").encode("utf-16-le", "replace")
    if len(units) <= 2 * length:
        return units.decode("utf-16-le")
    return units[: 2 * (length - 1)].decode("utf-16-le", "ignore") + "…"


def options_values(options: RunOptions) -> dict[str, Any]:
    """The option columns: all of them as JSON, and `dry_run` by itself because an index looks at it."""
    return {"dry_run": options.dry_run, "options": msgspec.to_builtins(options)}

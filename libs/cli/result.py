"""What a run came to: one struct, printed as JSON or for a person. Its field names are a contract with scripts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from libs.common.state import Checkpoint, Failure, Run, RunStatus, Stage, StageRow, StageStatus


class StageResult(msgspec.Struct, frozen=True):
    """A stage's end. `seconds` run from its first start to its last end, so stages may overlap."""

    status: str
    rows: int | None
    seconds: float | None


class ErrorResult(msgspec.Struct, frozen=True):
    """Why it failed and what to do."""

    code: str
    message: str
    next_step: str


class NextWeek(msgspec.Struct, frozen=True):
    """Where the checkpoint stands."""

    next_week_start: date | None
    next_week_end: date | None


class SyncResult(msgspec.Struct, frozen=True):
    """What Salesforce took."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as `--json` prints it."""

    run_id: str
    status: str
    week_start: date
    week_end: date
    rows_fetched: int | None
    rows_valid: int | None
    rows_rejected: int | None
    reject_rate_pct: float | None
    stages: dict[str, StageResult]
    checks: list[dict[str, Any]]
    files: dict[str, list[str]]
    would_change: dict[str, Any] | None
    """Of a dry run that passed: `files` to publish, `replaced_run` and `replaced_rows`, `next_week` if it moves."""
    sync: SyncResult
    checkpoint: NextWeek
    error: ErrorResult | None
    seconds: float | None
    startup_seconds: float | None

    @property
    def succeeded(self) -> bool:
        """Whether a command ends with exit status 0 for it."""
        done = {RunStatus.SUCCESS, RunStatus.SUCCESS_WITH_REJECTS, RunStatus.SKIPPED}
        return self.error is None and self.status in done


def result_of(
    run: Run,
    stages: Iterable[StageRow],
    checkpoint: Checkpoint | None,
    *,
    lake_root: str,
    published_at: datetime | None = None,
    startup_seconds: float | None = None,
) -> RunResult:
    """Put together what the state tables say of a run. File paths are absolute below `lake_root`."""
    rows = {row.stage: row for row in stages}
    gate = rows[Stage.QUALITY_GATE].details if Stage.QUALITY_GATE in rows else {}
    sync = rows[Stage.SALESFORCE_SYNC].details if Stage.SALESFORCE_SYNC in rows else {}
    validated = rows.get(Stage.VALIDATE)
    next_week = checkpoint.next_week if checkpoint else None
    ends = [row.finished_at for row in rows.values() if row.finished_at]
    return RunResult(
        run_id=run.run_id,
        status=run.status.value,
        week_start=run.week.start,
        week_end=run.week.end,
        rows_fetched=run.rows_fetched,
        rows_valid=run.rows_output if run.rows_output is not None else (validated.row_count if validated else None),
        rows_rejected=run.rows_rejected if run.rows_rejected is not None else _rejected(validated),
        reject_rate_pct=_as_float(run.reject_rate_pct),
        stages={stage.value: _stage_result(rows[stage]) for stage in Stage if stage in rows},
        checks=[{key: check.get(key) for key in _CHECK_FIELDS} for check in gate.get("checks", [])],
        files={
            kind: [f"{lake_root}/{path}" for path in gate.get("files", {}).get(kind, [])]
            for kind in ("events", "rejects", "signals")
        },
        would_change=gate.get("would_change"),
        sync=SyncResult(**{field: int(sync.get(field, 0)) for field in SyncResult.__struct_fields__}),
        checkpoint=NextWeek(next_week.start if next_week else None, next_week.end if next_week else None),
        error=_error(run, rows.values()),
        seconds=round((max(ends) - published_at).total_seconds(), 3) if published_at and ends else None,
        startup_seconds=startup_seconds,
    )


_CHECK_FIELDS = ("name", "severity", "passed", "value", "threshold")


def _stage_result(row: StageRow) -> StageResult:
    seconds = (row.finished_at - row.started_at).total_seconds() if row.finished_at else None
    return StageResult(row.status.value, row.row_count, None if seconds is None else round(seconds, 3))


def _rejected(validated: StageRow | None) -> int | None:
    return validated.rejected_count if validated else None


def _as_float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _error(run: Run, stages: Iterable[StageRow]) -> ErrorResult | None:
    """The run's own failure, or that of a stage behind the gate, which leaves the run its success."""
    failures = [run.error, *(row.failure for row in stages if row.status in _FAILED)]
    failure: Failure | None = next((failure for failure in failures if failure), None)
    return ErrorResult(failure.code, failure.message, failure.next_step) if failure else None


_FAILED = {StageStatus.FAILED, StageStatus.TIMED_OUT, StageStatus.CANCELLED}

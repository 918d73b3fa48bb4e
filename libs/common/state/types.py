"""What the state tables say, in the project's own words. Every time is zone-aware UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from libs.common.messages import RunOptions
from libs.common.week import Week


class RunStatus(StrEnum):
    """Where a run stands. STARTED is the only state that it leaves by itself."""

    STARTED = "STARTED"
    SUCCESS = "SUCCESS"
    SUCCESS_WITH_REJECTS = "SUCCESS_WITH_REJECTS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    SUPERSEDED = "SUPERSEDED"

    @property
    def is_active(self) -> bool:
        """Whether its messages are still worked on."""
        return self is RunStatus.STARTED

    @property
    def is_success(self) -> bool:
        """Whether it passed the gate and its week is what readers see (a dry run: would be)."""
        return self in (RunStatus.SUCCESS, RunStatus.SUCCESS_WITH_REJECTS)


class Stage(StrEnum):
    """The five steps of a run, in order."""

    EXTRACT = "EXTRACT"
    VALIDATE = "VALIDATE"
    LOAD = "LOAD"
    QUALITY_GATE = "QUALITY_GATE"
    SALESFORCE_SYNC = "SALESFORCE_SYNC"


class StageStatus(StrEnum):
    """Where a stage stands."""

    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something ended badly: a stable code, a sentence, and what the operator does now.

    The tables keep at most 4,000 characters of the message and 1,000 of the next step.
    """

    code: str
    message: str
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt at one week."""

    run_id: str
    pipeline_name: str
    week: Week
    status: RunStatus
    options: RunOptions
    requested_by: str
    requested_at: datetime
    correlation_id: str
    started_at: datetime
    active_since: datetime
    """When it was opened, or last reopened: the run's budget counts from here."""
    finished_at: datetime | None = None
    rows_fetched: int | None = None
    rows_output: int | None = None
    rows_rejected: int | None = None
    reject_rate_pct: Decimal | None = None
    """Per cent with four decimals."""
    output_path: str | None = None
    error: Failure | None = None
    supersedes: str | None = None
    """The run whose success this forced one replaced."""
    superseded_by: str | None = None
    """The forced run whose success replaced this one's."""
    moved_checkpoint: bool = False
    """Whether passing the gate moved the checkpoint (a back-fill or a dry run does not)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One stage of one run."""

    run_id: str
    stage: Stage
    status: StageStatus
    attempts: int
    """How often it was started."""
    started_at: datetime
    """Of the first start."""
    row_count: int | None = None
    rejected_count: int | None = None
    parts_total: int | None = None
    """How many parts the week has; only on EXTRACT, and only once it is known."""
    finished_at: datetime | None = None
    failure: Failure | None = None
    details: dict[str, Any] = field(default_factory=dict)
    outgoing: str | None = None
    """The message that follows from finishing, as `Outgoing.to_json` writes it."""
    published: bool = False
    """Whether the bus is known to have `outgoing`."""
    revision: int = 0
    """Grows with every change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """One part of one stage of one run. Its existence says that the work on the part is done."""

    run_id: str
    stage: Stage
    part: int
    row_count: int
    rejected_count: int
    recorded_at: datetime
    details: dict[str, Any] = field(default_factory=dict)
    outgoing: str | None = None
    published: bool = False
    revision: int = 0
    """Grows with every change; what `update_part` compares."""


@dataclass(frozen=True, slots=True)
class PartTotals:
    """Sums over the recorded parts of one stage of one run."""

    parts: int
    row_count: int
    rejected_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How far a pipeline has come."""

    pipeline_name: str
    last_week: Week | None
    next_week: Week | None
    updated_at: datetime

    def is_stale(self, now: datetime, days: int) -> bool:
        """Whether it has not moved for more than so many days."""
        return now - self.updated_at > timedelta(days=days)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCommit:
    """What passing the gate left in the tables: the same for the call that did it and for any repeat."""

    run: Run
    stage: StageRow
    checkpoint: Checkpoint | None

    @property
    def superseded(self) -> str | None:
        """The run whose success this one replaced."""
        return self.run.supersedes

    @property
    def checkpoint_moved(self) -> bool:
        """Whether this run moved the checkpoint."""
        return self.run.moved_checkpoint

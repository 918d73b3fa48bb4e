"""What each message says. Data never travels in a message, only a `BlobRef` to it (claim check)."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar

import msgspec

from libs.common.week import Week


class BlobRef(msgspec.Struct, frozen=True, kw_only=True):
    """A file in the lake, and how to know that it is the right one.

    `url` is absolute (`file:///…`, `abfss://…`) and below the lake's root; `sha256` is lower-case hex of the bytes;
    `rows` is the number of records inside, for a page file the number of pages.
    """

    url: str
    sha256: str
    size_bytes: int
    rows: int


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a week is to be run."""

    force: bool = False
    """Run it although it succeeded before; the new success supersedes the old one."""
    dry_run: bool = False
    """Go through validation and the gate, report, publish nothing."""
    advance_on_skip: bool = False
    """Where the week is skipped because it is done, move the checkpoint past it."""
    full_sync: bool = False
    """Send every row to Salesforce, not only what changed."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all messages carry."""

    topic: ClassVar[str]

    run_id: str
    pipeline_name: str
    week_start: date
    week_end: date
    correlation_id: str

    @property
    def week(self) -> Week:
        """The span that the run is about."""
        return Week(self.week_start, self.week_end)


class WeekRequested(Message, frozen=True, kw_only=True, tag="week.requested.v1"):
    """Somebody (an operator, the weekly job, a back-fill) wants this week done."""

    topic: ClassVar[str] = "week.requested"

    requested_by: str
    requested_at: datetime
    """Zone-aware UTC. Becomes the run's `ingested_at`, so that repeating any step writes the same bytes."""
    options: RunOptions = RunOptions()


class EventsExtracted(Message, frozen=True, kw_only=True, tag="events.extracted.v1"):
    """One part of the week is in the lake as the API served it: `raw` is a Parquet of pages, `raw.rows` of them."""

    topic: ClassVar[str] = "events.extracted"

    part: int
    raw: BlobRef
    first_page: int | None
    """None, as `last_page`, for the single empty part of an empty week."""
    last_page: int | None


class EventsValidated(Message, frozen=True, kw_only=True, tag="events.validated.v1"):
    """One part is validated: what is good in `valid`, what is not in `rejects`, every record in one of the two."""

    topic: ClassVar[str] = "events.validated"

    part: int
    valid: BlobRef
    rejects: BlobRef
    reject_counts: dict[str, int]
    """Reject code → records."""


class DataLoaded(Message, frozen=True, kw_only=True, tag="data.loaded.v1"):
    """All parts are laid out as the curated data set in the run's staging folder, described by the load manifest."""

    topic: ClassVar[str] = "data.loaded"

    manifest: BlobRef
    parts_total: int
    rows_valid: int
    rows_rejected: int


class GatePassed(Message, frozen=True, kw_only=True, tag="gate.passed.v1"):
    """The week is audited and published; `signals` holds a row per customer and week. `run_status` is the run's own."""

    topic: ClassVar[str] = "gate.passed"

    signals: BlobRef
    run_status: str
    checks: BlobRef
    """The check results (JSON)."""
    full_sync: bool = False


def message_id(message: Message) -> str:
    """`{run_id}/{topic}[/{part}]`: the same for every repeat, so that broker and consumer both recognise one."""
    part = getattr(message, "part", None)
    return f"{message.run_id}/{message.topic}" + ("" if part is None else f"/{part:05d}")

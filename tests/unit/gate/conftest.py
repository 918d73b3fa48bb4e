"""Small weeks in DuckDB, as in production."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.events.schema import EVENT_SCHEMA
from libs.common.settings import load_settings
from libs.common.week import Week
from services.gate.adapters import AuditedFile, WeekAudit
from services.gate.settings import GateSettings

WEEK = Week.of(date(2026, 1, 5))
REQUESTED_AT = datetime(2026, 1, 12, 6, tzinfo=UTC)
SETTINGS = load_settings(GateSettings, _env_file=None, state_url="sqlite://", lake_url="file:///lake")
Row = dict[str, Any]


def event(day: int = 0, **changes: Any) -> Row:
    values: Row = dict.fromkeys(EVENT_SCHEMA.names)
    values |= {
        "event_time": WEEK.opens_at + timedelta(days=day, hours=1),
        "event_type": "view",
        "user_id": "u1",
        "user_session": "s1",
        "price": Decimal("10.0000"),
        "batch_week_start": WEEK.start,
        "batch_week_end": WEEK.end,
        "ingested_at": REQUESTED_AT,
    }
    return values | changes


def whole_week() -> list[Row]:
    kinds = ("view", "cart", "purchase", "view", "view", "view", "view")
    return [event(day, event_type=kind, user_id=f"u{day}") for day, kind in enumerate(kinds)]


@contextmanager
def audited(folder: Path, events: list[Row], **changes: Any) -> Iterator[WeekAudit]:
    """The week's tables; `changes` are to the counts, `history` and the checksum of the file."""
    path = folder / "events.parquet"
    pq.write_table(pa.Table.from_pylist(events, EVENT_SCHEMA), path)
    counts: dict[str, int | None] = {
        "rows_fetched": len(events),
        "validate_valid": len(events),
        "validate_rejected": 0,
        "manifest_valid": len(events),
        "manifest_rejected": 0,
        "api_total": len(events),
    }
    history = changes.pop("history", [])
    sha256 = changes.pop("actual_sha256", "aa")
    file = AuditedFile("events.parquet", path, "aa", sha256, len(events))
    with WeekAudit(SETTINGS, folder) as audit:
        audit.load(WEEK, REQUESTED_AT, [file], [], counts | changes)
        audit.load_history(history)
        yield audit

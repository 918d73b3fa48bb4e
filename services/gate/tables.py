"""Columns of the tables that rules and signals see besides events and rejects (see the head of rules.toml)."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from libs.common.events.schema import EVENT_SCHEMA, TIME

WEEK: Final = pa.schema(
    [
        ("week_start", pa.date32()),
        ("week_end", pa.date32()),
        ("opens_at", TIME),
        ("closes_at", TIME),
        ("refreshed_at", TIME),
    ]
)
COUNTS: Final = pa.schema(
    [
        ("rows_fetched", pa.int64()),
        ("validate_valid", pa.int64()),
        ("validate_rejected", pa.int64()),
        ("manifest_valid", pa.int64()),
        ("manifest_rejected", pa.int64()),
        ("api_total", pa.int64()),
    ]
)
FILES: Final = pa.schema(
    [
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("actual_sha256", pa.string()),
        ("rows", pa.int64()),
        ("actual_rows", pa.int64()),
    ]
)
HISTORY: Final = pa.schema([("week_start", pa.string()), ("rows_valid", pa.int64())])
NULL_SHARES: Final = pa.schema([("column_name", pa.string()), ("share_pct", pa.float64())])
NULLABLE: Final = tuple(field.name for field in EVENT_SCHEMA if field.nullable)
"""The columns whose shares of nulls are watched."""

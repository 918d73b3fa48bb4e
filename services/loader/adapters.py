"""Parquet in and out. Blocks: call it through `asyncio.to_thread`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from libs.common.events.schema import EVENT_SCHEMA, REJECT_SCHEMA, WRITER_OPTIONS

SORT_KEYS = ("user_id", "event_time", "event_type", "product_id", "category_id", "category_code", "brand", "price")
"""By user first, so that a reader of one customer skips most row groups; then by everything, so that equal sets of rows
give equal files. Rows that agree in all these and the session are interchangeable."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a file holds; the times are the first and last event's, None without rows."""

    rows: int
    min_event_time: datetime | None = None
    max_event_time: datetime | None = None


def merge_events(sources: Sequence[Path], target: Path, *, row_group_rows: int) -> Written:
    """Merge valid parts into one sorted file. Memory: about three times the rows of the group."""
    table = pa.concat_tables([pq.read_table(path, schema=EVENT_SCHEMA, partitioning=None) for path in sources])
    order = [(key, "ascending") for key in (*SORT_KEYS, "user_session")]
    table = table.take(pc.sort_indices(table, sort_keys=order))
    pq.write_table(table, target, row_group_size=row_group_rows, **WRITER_OPTIONS)
    return Written(table.num_rows, *_span(table.column("event_time")))


def merge_rejects(sources: Sequence[Path], target: Path) -> Written:
    """Append reject parts in their order; they come sorted by page and position."""
    rows = 0
    with pq.ParquetWriter(target, REJECT_SCHEMA, **WRITER_OPTIONS) as writer:
        for path in sources:
            table = pq.read_table(path, schema=REJECT_SCHEMA, partitioning=None)
            writer.write_table(table)
            rows += table.num_rows
    return Written(rows)


def read_back(path: Path) -> Written:
    """What a written file says of itself: rows from its footer, times from its statistics."""
    metadata = pq.read_metadata(path)
    if "event_time" not in metadata.schema.names:
        return Written(metadata.num_rows)
    column = metadata.schema.names.index("event_time")
    chunks = [metadata.row_group(index).column(column) for index in range(metadata.num_row_groups)]
    statistics: list[Any] = [chunk.statistics for chunk in chunks if chunk.num_values]
    if not statistics:
        return Written(metadata.num_rows)
    return Written(metadata.num_rows, min(s.min for s in statistics), max(s.max for s in statistics))


def _span(times: pa.ChunkedArray) -> tuple[datetime | None, datetime | None]:
    span = pc.min_max(times)
    return span["min"].as_py(), span["max"].as_py()

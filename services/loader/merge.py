"""Validated parts into files as readers will see them. Blocks.

Events are sorted by user, then time, so that a query for one customer reads few row groups; rejects stay in the order
of the source. Equal keys keep the order of the parts, so the same parts always give the same bytes.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from libs.common.events.arrow import keep_small
from libs.common.events.schema import EVENT_SCHEMA, REJECT_SCHEMA, WRITER_OPTIONS

ROW_GROUP_EVENTS: Final = 128 * 1024
"""About what DuckDB gives to one thread at a time."""
_REJECTS_AT_ONCE: Final = 8 * 1024
_ORDER: Final = (("user_id", "ascending"), ("event_time", "ascending"))
_FEW_VALUES: Final = ("event_type", "category_code", "brand")
"""Read as dictionaries: a third of the memory for the same rows."""


def merge_events(sources: Sequence[Path], target: Path) -> None:
    """Sort the events of all sources into `target`; memory is that of all of them. None: a file without rows.

    Raises OSError, and pa.ArrowInvalid for sources that are no validated parts.
    """
    keep_small()
    with pq.ParquetWriter(target, EVENT_SCHEMA, **WRITER_OPTIONS) as writer:
        if not sources:
            return
        events = pa.concat_tables([_read(source) for source in sources])
        order = pc.sort_indices(events, sort_keys=list(_ORDER))
        for start in range(0, len(order), ROW_GROUP_EVENTS):
            rows = events.take(order.slice(start, ROW_GROUP_EVENTS))
            writer.write_table(rows.cast(EVENT_SCHEMA), row_group_size=ROW_GROUP_EVENTS)


def _read(source: Path) -> Any:
    return pq.read_table(source, read_dictionary=list(_FEW_VALUES), use_threads=False, pre_buffer=False)


def merge_rejects(sources: Sequence[Path], target: Path) -> None:
    """Join the rejects of all sources, in their order, in memory of a few thousand. Raises as `merge_events`."""
    keep_small()
    with pq.ParquetWriter(target, REJECT_SCHEMA, **WRITER_OPTIONS) as writer:
        for source in sources:
            with pq.ParquetFile(source) as reader:
                for batch in reader.iter_batches(_REJECTS_AT_ONCE, use_threads=False):
                    writer.write_batch(batch)


def read_facts(path: Path) -> tuple[int, datetime | None, datetime | None]:
    """Rows, first and last event time (None without events), by the file's own footer. Raises OSError, ArrowInvalid."""
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        if "event_time" not in file.schema_arrow.names:
            return metadata.num_rows, None, None
        column = file.schema_arrow.get_field_index("event_time")
        ranges = [metadata.row_group(group).column(column).statistics for group in range(metadata.num_row_groups)]
    if not ranges:
        return metadata.num_rows, None, None
    return metadata.num_rows, min(r.min for r in ranges), max(r.max for r in ranges)

"""Serves a Parquet file one row group at a time."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from libs.emulators.events_api.day_index import DayIndex, day_of
from libs.emulators.events_api.source import FileError
from libs.emulators.events_api.span import Span

_CACHED_ROW_GROUPS = 2  # what is held in memory at most; pages that follow each other share one


class ParquetFile:
    """A Parquet file as a source; positions in its index are row numbers."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise FileError(f"{path} is not a Parquet file: {error}") from error
        if "event_time" not in self._file.schema_arrow.names:
            raise FileError(f"{path} has no column event_time")
        groups = self._file.metadata.num_row_groups
        sizes = (self._file.metadata.row_group(group).num_rows for group in range(groups))
        self._starts = list(accumulate(sizes, initial=0))
        self._row_group = lru_cache(maxsize=_CACHED_ROW_GROUPS)(self._read_row_group)
        self._index = DayIndex()
        row = 0
        for batch in self._file.iter_batches(batch_size=10_000, columns=["event_time"]):
            for value in _in_microseconds(pa.Table.from_batches([batch])).column(0).to_pylist():
                self._index.add(row, day_of(value))
                row += 1

    def count(self, span: Span) -> int:
        """Return how many rows the span has."""
        return self._index.count(span)

    def records(self, span: Span, first: int, stop: int) -> list[str]:
        """Return the JSON texts of the rows [first, stop) of a span."""
        texts: list[str] = []
        for stretch in self._index.stretches(span, first, stop):
            begin = stretch.position + stretch.skip
            end = begin + stretch.rows
            while begin < end:
                group = bisect_right(self._starts, begin) - 1
                upto = min(end, self._starts[group + 1])
                rows = self._row_group(group).slice(begin - self._starts[group], upto - begin)
                texts.extend(_to_json(row) for row in rows.to_pylist())
                begin = upto
        return texts

    def _read_row_group(self, group: int) -> Any:
        return _in_microseconds(self._file.read_row_group(group))


def _in_microseconds(table: Any) -> Any:
    """Cut nanosecond times, which Python's datetime cannot hold and pandas writes by default."""
    fields = [
        field.with_type(pa.timestamp("us", tz=field.type.tz))
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields), safe=False)


def _to_json(row: Mapping[str, Any]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{_value(value)}" for name, value in row.items()) + "}"


def _value(value: Any) -> str:
    """Return a cell as JSON text: decimals digit by digit, times as ISO 8601, what JSON has no form for as text."""
    match value:
        case Decimal():
            return f"{value:f}" if value.is_finite() else json.dumps(str(value))
        case float() if not isfinite(value):
            return json.dumps(str(value))
        case datetime() | date():
            return json.dumps(value.isoformat())
        case _:
            return json.dumps(value, default=str)

"""Raw pages from Parquet, valid events and rejects into Parquet; in memory of one row group. Blocks."""

from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.events.arrow import keep_small
from libs.common.events.report import Report
from libs.common.events.schema import ENCODED_EVENT_SCHEMA, PART_WRITER_OPTIONS, REJECT_SCHEMA
from libs.common.week import Week
from services.validator.part import PartJudge

ROW_GROUP_BYTES: Final = 32 * 1024 * 1024
"""Of Arrow memory; about 200,000 events, so that a usual part is one row group."""
_PAGES_AT_ONCE: Final = 4


def validate_files(raw: Path, valid: Path, rejects: Path, week: Week, ingested_at: datetime) -> Report:
    """Validate the raw part in `raw`; both results are always written, without rows if there are none.

    Raises OSError, pa.ArrowInvalid for a file that is no raw part.
    """
    keep_small()
    judge = PartJudge(week, ingested_at)
    with (
        pq.ParquetFile(raw) as source,
        _Writer(valid, ENCODED_EVENT_SCHEMA) as events,
        _Writer(rejects, REJECT_SCHEMA) as refused,
    ):
        for batch in source.iter_batches(batch_size=_PAGES_AT_ONCE, columns=["page", "body"], use_threads=False):
            for number, body in zip(batch.column("page"), batch.column("body"), strict=True):
                judge.add_page(number.as_py(), body.as_py())
                if judge.is_full:
                    _write(judge, events, refused)
        _write(judge, events, refused)
    return judge.report


def _write(judge: PartJudge, events: "_Writer", refused: "_Writer") -> None:
    valid, rejects = judge.flush()
    events.add(valid)
    refused.add(rejects)


class _Writer:
    """Collects tables into row groups of a sensible size."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._writer = pq.ParquetWriter(path, schema, **PART_WRITER_OPTIONS)
        self._tables: list[Any] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def add(self, table: Any) -> None:
        if table.num_rows:
            self._tables.append(table)
            self._bytes += table.nbytes
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._tables:
            # One dictionary a column, because Parquet writes all values out from the first chunk that has another.
            self._writer.write_table(pa.concat_tables(self._tables).unify_dictionaries())
        self._tables, self._bytes = [], 0

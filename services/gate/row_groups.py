"""A Parquet file from batches as they come."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.events.schema import WRITER_OPTIONS

ROW_GROUP_ROWS: Final = 64 * 1024


class RowGroupWriter(AbstractContextManager["RowGroupWriter"]):
    """Cuts row groups by count alone: how the rows were batched changes no byte. Blocks; holds one row group."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._file: pq.ParquetWriter | None = None
        self._waiting: list[Any] = []
        self._waiting_rows = 0
        self.rows = 0
        """Written so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            if error is None:
                self._flush()
            self._file.close()

    def write(self, reader: pa.RecordBatchReader) -> None:
        """Append all rows of a reader; every reader has the columns of the first."""
        if self._file is None:
            self._file = pq.ParquetWriter(self._target, reader.schema, **WRITER_OPTIONS)
        for batch in reader:
            self.rows += batch.num_rows
            for piece in self._pieces(batch):
                self._waiting.append(piece)
                self._waiting_rows += piece.num_rows
                if self._waiting_rows == ROW_GROUP_ROWS:
                    self._flush()

    def _pieces(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        """The batch, cut where a row group becomes full."""
        start = 0
        while start < batch.num_rows:
            piece = batch.slice(start, ROW_GROUP_ROWS - self._waiting_rows)
            start += piece.num_rows
            yield piece

    def _flush(self) -> None:
        if self._file is not None and self._waiting:
            self._file.write_table(pa.Table.from_batches(self._waiting), row_group_size=ROW_GROUP_ROWS)
        self._waiting, self._waiting_rows = [], 0

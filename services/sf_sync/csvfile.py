"""Canonical rows as the CSV that Bulk API 2.0 reads: UTF-8, CRLF, every cell quoted. Pure, vectorised.

An empty cell leaves a field as it is, `#N/A` empties it. CRLF with all cells quoted, because a lone CR or LF inside a
value is otherwise read as the end of a row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from services.sf_sync.canonical import CLEAR_CELL
from services.sf_sync.mapping import NullPolicy, ResolvedMapping

MAX_BYTES: Final = 100_000_000
"""Raw CSV bytes a job may upload: 150 MB after Salesforce's base64 (Bulk API 2.0 guide, Upload Job Data)."""


@dataclass(frozen=True, slots=True)
class CsvPart:
    """One file to upload, and the rows of it."""

    path: Path
    rows: int
    size_bytes: int


def header(mapping: ResolvedMapping) -> bytes:
    """The first line, with the API names as `describe` spells them (results come back under them)."""
    return (",".join(f'"{name}"' for name in mapping.names) + "\r\n").encode()


def render(batch: pa.RecordBatch, mapping: ResolvedMapping) -> pa.Array:
    """A string array with one finished CSV line for every row of `batch`."""
    cells = []
    for field in mapping.fields:
        absent = CLEAR_CELL if field.on_null is NullPolicy.CLEAR else ""
        text = pc.fill_null(batch.column(field.field), absent)
        cells.append(pc.replace_substring(text, pattern='"', replacement='""'))
    joined = pc.binary_join_element_wise(*cells, '","')
    return pc.binary_join_element_wise('"', joined, '"\r\n', "")


def write_parts(
    batches: Iterable[pa.RecordBatch],
    mapping: ResolvedMapping,
    folder: Path,
    *,
    max_rows: int,
    max_bytes: int = MAX_BYTES,
) -> Iterator[CsvPart]:
    """Write `part-00000.csv` and so on into `folder`, each with a header, cut at whichever limit comes first.

    Yields a part when it is complete, so that the caller may move it away. Every row goes into exactly one part, in
    order; a single row above `max_bytes` gets a part of its own. Memory is bounded by one batch.
    """
    writer = _Writer(folder, header(mapping))
    for batch in batches:
        lines = render(batch, mapping)
        start = 0
        for index, length in enumerate(pc.binary_length(lines).to_pylist()):
            if writer.rows and (writer.rows == max_rows or writer.size_bytes + length > max_bytes):
                writer.append(lines.slice(start, index - start))
                yield writer.finish()
                start = index
            writer.count(length)
        writer.append(lines.slice(start))
    if writer.rows:
        yield writer.finish()


class _Writer:
    """The part under construction. Rows are counted before they are appended, because the cut is decided by count."""

    def __init__(self, folder: Path, head: bytes) -> None:
        self._folder, self._head = folder, head
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self.rows, self.size_bytes = 0, len(self._head)
        self._path = self._folder / f"part-{self._number:05d}.csv"
        self._started = False

    def count(self, length: int) -> None:
        self.rows += 1
        self.size_bytes += length

    def append(self, lines: pa.Array) -> None:
        with self._path.open("ab" if self._started else "wb") as file:
            if not self._started:
                file.write(self._head)
            file.write(_bytes_of(lines))
        self._started = True

    def finish(self) -> CsvPart:
        part = CsvPart(self._path, self.rows, self.size_bytes)
        self._number += 1
        self._begin()
        return part


def _bytes_of(lines: pa.Array) -> memoryview:
    """The lines end to end: an Arrow string array without nulls already lies so in memory."""
    _, offsets, text = lines.buffers()
    if text is None or not len(lines):
        return memoryview(b"")
    bounds = memoryview(offsets).cast("B").cast("i")
    return memoryview(text)[bounds[lines.offset] : bounds[lines.offset + len(lines)]]

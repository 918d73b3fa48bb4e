"""Serves a CSV, JSON Lines or Parquet file as if it were the API's data, without holding it in memory."""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec

from libs.emulators.events_api.day_index import DayIndex, day_of
from libs.emulators.events_api.source import FileError, Source
from libs.emulators.events_api.span import Span

log = logging.getLogger(__name__)

ID_FIELDS: Final = frozenset({"product_id", "category_id", "user_id"})
_JSON_INTEGER = re.compile(r"0|[1-9][0-9]*")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_EVENT_TIME = "event_time"


def open_source(path: Path) -> Source:
    """Index a file once, by its suffix (.csv, .jsonl or .ndjson, .parquet), and return it as a source.

    Raises FileError when there is no such file, or its form is not one of these.
    """
    if not path.is_file():
        raise FileError(f"{path} is not a file; give --file a CSV, JSON Lines or Parquet file")
    match path.suffix.lower():
        case ".csv":
            return TextFile(path, CsvRows(path))
        case ".jsonl" | ".ndjson":
            return TextFile(path, JsonLines())
        case ".parquet":
            from libs.emulators.events_api.parquet_file import ParquetFile  # pyarrow costs start-up time and memory

            return ParquetFile(path)
        case suffix:
            raise FileError(f"{path}: {suffix or 'no suffix'} is none of .csv, .jsonl, .ndjson, .parquet")


class Rows(Protocol):
    """One text format: how rows are told apart in lines, and how each becomes a JSON text."""

    header_bytes: int

    def read(self, lines: Iterator[bytes]) -> Iterator[Sequence[str]]:
        """Yield a row whenever the lines taken so far complete one; blank lines yield an empty one."""
        ...

    def event_time(self, row: Sequence[str]) -> object:
        """Return the row's event time as it stands there."""
        ...

    def to_json(self, row: Sequence[str]) -> str:
        """Return the row as the JSON text the API serves."""
        ...


class TextFile:
    """A text file read at random through an index of byte offsets."""

    def __init__(self, path: Path, rows: Rows) -> None:
        self._path = path
        self._rows = rows
        self._index = DayIndex()
        try:
            with path.open("rb") as file:
                for offset, row in self._read(file, rows.header_bytes):
                    self._index.add(offset, day_of(rows.event_time(row)))
        except csv.Error as error:
            raise FileError(f"{path} cannot be read as CSV: {error}") from error

    def count(self, span: Span) -> int:
        """Return how many rows the span has."""
        return self._index.count(span)

    def records(self, span: Span, first: int, stop: int) -> list[str]:
        """Return the JSON texts of the rows [first, stop) of a span."""
        texts: list[str] = []
        with self._path.open("rb") as file:
            for stretch in self._index.stretches(span, first, stop):
                rows = islice(self._read(file, stretch.position), stretch.skip, stretch.skip + stretch.rows)
                texts.extend(self._rows.to_json(row) for _, row in rows)
        return texts

    def _read(self, file: IO[bytes], offset: int) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield (byte offset, row) from an offset on, without blank lines."""
        file.seek(offset)
        upto = offset

        def lines() -> Iterator[bytes]:
            nonlocal upto
            for line in file:
                upto += len(line)
                yield line

        for row in self._rows.read(lines()):
            if row:
                yield offset, row
            offset = upto


class CsvRows:
    """CSV with a header: an empty cell is null, ids and the price are numbers exactly as written, the rest is text."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            header = file.readline()
        self.header_bytes = len(header)
        self._names = next(csv.reader([header.decode("utf-8-sig")]), [])
        if _EVENT_TIME not in self._names:
            raise FileError(f"{path}: the first line must name the columns, {_EVENT_TIME} among them")
        self._time_column = self._names.index(_EVENT_TIME)
        self._columns: list[tuple[str, Callable[[str], str]]] = [
            (json.dumps(name), _number_text(_JSON_INTEGER if name in ID_FIELDS else _JSON_NUMBER))
            if name in ID_FIELDS or name == "price"
            else (json.dumps(name), json.dumps)
            for name in self._names
        ]

    def read(self, lines: Iterator[bytes]) -> Iterator[Sequence[str]]:
        """Yield the cells of each row; a quoted line break does not end one."""
        return csv.reader(line.decode("utf-8", "replace") for line in lines)

    def event_time(self, row: Sequence[str]) -> object:
        """Return the text of the event_time column."""
        return row[self._time_column] if self._time_column < len(row) else None

    def to_json(self, row: Sequence[str]) -> str:
        """Return the row as an object; a short row lacks the last fields, cells beyond the header become ``_extra``."""
        members = [
            f"{name}:{as_json(cell) if cell else 'null'}"
            for (name, as_json), cell in zip(self._columns, row, strict=False)
        ]
        if len(row) > len(self._columns):
            members.append(f'"_extra":{json.dumps(row[len(self._columns) :])}')
        return "{" + ",".join(members) + "}"


class _TimeOnly(msgspec.Struct):
    event_time: object = None


class JsonLines:
    """One JSON value a line, served as it stands; a line that is no JSON is served as a JSON string of itself."""

    header_bytes = 0

    def __init__(self) -> None:
        self._time = msgspec.json.Decoder(_TimeOnly)
        self._any = msgspec.json.Decoder(msgspec.Raw)

    def read(self, lines: Iterator[bytes]) -> Iterator[Sequence[str]]:
        """Yield each line alone in a row."""
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            yield (text,) if text else ()

    def event_time(self, row: Sequence[str]) -> object:
        """Return the member event_time of the line's object."""
        try:
            return self._time.decode(row[0]).event_time
        except msgspec.DecodeError:
            return None

    def to_json(self, row: Sequence[str]) -> str:
        """Return the line."""
        try:
            self._any.decode(row[0])
        except msgspec.DecodeError:
            return json.dumps(row[0])
        return row[0]


def _number_text(pattern: re.Pattern[str]) -> Callable[[str], str]:
    """Return what writes a cell as a JSON number when it is one, digit by digit, else as text."""
    return lambda cell: cell if pattern.fullmatch(cell) else json.dumps(cell)

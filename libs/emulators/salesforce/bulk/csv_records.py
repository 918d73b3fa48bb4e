"""Reads the CSV of a bulk job from disk in batches, with byte offsets, so that a job can resume where it stopped."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from libs.emulators.salesforce.errors import JobFailure

DELIMITERS = {"COMMA": ",", "TAB": "\t", "SEMICOLON": ";", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
MAX_RECORD_BYTES = 1_600_000
"""Salesforce allows 400,000 characters a record; a longer one means that a quotation mark was never closed."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class CsvBatch:
    """Some records in file order, and the bytes ``[start, end)`` that they were read from."""

    rows: list[list[str]]
    start: int
    end: int


class CsvRecords:
    """The uploaded file of one job; raises JobFailure for what Salesforce would refuse as a whole."""

    def __init__(self, path: Path, *, column_delimiter: str, line_ending: str) -> None:
        self._path = path
        self._delimiter = DELIMITERS[column_delimiter]
        self._line_ending = line_ending
        with path.open("rb") as file:
            first = next(self._raw_records(file, 0), None)
        if first is None:
            raise JobFailure("ClientInputError : The upload holds no header row")
        self._crlf = line_ending == "CRLF"
        if first[1].endswith(b"\n") and first[1].endswith(b"\r\n") != self._crlf:
            raise self._wrong_line_ending()
        self.first_record = len(first[1])
        self.header = self._parse([first[1].removeprefix(_BOM)])[0]

    def batch(self, start: int, max_rows: int) -> CsvBatch:
        """Read up to ``max_rows`` records from byte ``start``; no rows at the end of the file."""
        raw: list[bytes] = []
        end = start
        with self._path.open("rb") as file:
            file.seek(start)
            for offset, record in self._raw_records(file, start):
                end = offset
                if record.endswith(b"\n") and record.endswith(b"\r\n") != self._crlf:
                    raise self._wrong_line_ending()
                if record.strip(b"\r\n"):
                    raw.append(record)
                if len(raw) >= max_rows:
                    break
        rows = self._parse(raw)
        width = len(self.header)
        for row in rows:
            if len(row) != width:
                raise JobFailure(
                    f"InvalidBatch : Failed to parse CSV: a record has {len(row)} columns where the header has "
                    f"{width}: {self._delimiter.join(row)[:200]}"
                )
        return CsvBatch(rows, start, end)

    def _raw_records(self, file: BinaryIO, start: int) -> Iterator[tuple[int, bytes]]:
        """Yield each record's bytes with the offset after it; a line break inside quotes does not end a record."""
        offset = start
        pending = b""
        quotes = 0
        for line in file:
            offset += len(line)
            quotes += line.count(b'"')
            if quotes & 1:
                pending += line
                if len(pending) > MAX_RECORD_BYTES:
                    raise JobFailure(
                        "InvalidBatch : Failed to parse CSV: a record is too long or a quote is not closed"
                    )
                continue
            yield offset, pending + line
            pending = b""
            quotes = 0
        if pending:
            raise JobFailure("InvalidBatch : Failed to parse CSV: a quote is not closed")

    def _parse(self, raw: list[bytes]) -> list[list[str]]:
        try:
            return list(csv.reader((record.decode() for record in raw), delimiter=self._delimiter, strict=True))
        except UnicodeDecodeError as error:
            raise JobFailure(
                f"ClientInputError : The data is not UTF-8: {error.reason} at {error.object[:80]!r}"
            ) from error
        except csv.Error as error:
            if "new-line" in str(error):
                raise self._wrong_line_ending() from error
            raise JobFailure(f"InvalidBatch : Failed to parse CSV: {error}") from error

    def _wrong_line_ending(self) -> JobFailure:
        return JobFailure(
            f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {self._line_ending}"
        )

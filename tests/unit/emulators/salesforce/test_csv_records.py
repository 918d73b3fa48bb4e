from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.emulators.salesforce.bulk.csv_records import CsvRecords
from libs.emulators.salesforce.errors import JobFailure

Write = Callable[..., CsvRecords]
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(content: bytes, line_ending: str = "LF", column_delimiter: str = "COMMA") -> CsvRecords:
        path = tmp_path / "upload.csv"
        path.write_bytes(content)
        return CsvRecords(path, column_delimiter=column_delimiter, line_ending=line_ending)

    return make


def all_rows(records: CsvRecords, size: int) -> list[list[str]]:
    rows: list[list[str]] = []
    offset = records.first_record
    while (batch := records.batch(offset, size)).rows:
        rows += batch.rows
        offset = batch.end
    return rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS).map(list), max_size=20), st.integers(1, 7), st.sampled_from(["LF", "CRLF"]))
def test_any_table_is_read_back_whatever_the_batch_size(
    write: Write, rows: list[list[str]], size: int, line_ending: str
) -> None:
    buffer = io.StringIO()
    terminator = {"LF": "\n", "CRLF": "\r\n"}[line_ending]
    csv.writer(buffer, lineterminator=terminator, quoting=csv.QUOTE_ALL).writerows([["A", "B"], *rows])
    assert all_rows(write(buffer.getvalue().encode(), line_ending), size) == rows


def test_the_end_of_a_batch_is_where_the_next_begins(write: Write) -> None:
    records = write(b'A,B\n1,"x\ny"\n2,z\n3,\xc3\xa9')
    first = records.batch(records.first_record, 1)
    second = records.batch(first.end, 5)
    assert first.rows == [["1", "x\ny"]]
    assert second.rows == [["2", "z"], ["3", "é"]]
    assert (second.start, second.end) == (first.end, 20)


def test_a_byte_order_mark_and_blank_lines_are_skipped(write: Write) -> None:
    records = write(b"\xef\xbb\xbfA,B\n\n1,2\n\n")
    assert records.header == ["A", "B"]
    assert all_rows(records, 10) == [["1", "2"]]


@pytest.mark.parametrize(("name", "char"), [("TAB", "\t"), ("SEMICOLON", ";"), ("PIPE", "|"), ("CARET", "^")])
def test_other_delimiters_are_read(write: Write, name: str, char: str) -> None:
    assert write(f"A{char}B\n1{char}2,3\n".encode(), "LF", name).batch(4, 9).rows == [["1", "2,3"]]


@pytest.mark.parametrize(
    ("content", "line_ending"),
    [(b"A,B\r\n1,2\r\n", "LF"), (b"A,B\n1,2\n", "CRLF"), (b"A,B\n1,2\r\n", "LF"), (b"A,B\n1,x\ry\n", "LF")],
)
def test_a_line_ending_other_than_the_jobs_is_refused(write: Write, content: bytes, line_ending: str) -> None:
    with pytest.raises(JobFailure, match=f"LineEnding is invalid on user data.* setting is {line_ending}$"):
        all_rows(write(content, line_ending), 10)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no header"),
        (b"A,B\n1\n", "1 columns where the header has 2"),
        (b"A,B\n1,2,3\n", "3 columns where the header has 2"),
        (b'A,B\n1,"2\n3,4\n', "quote is not closed"),
        (b'A,B\n1,"2"x\n', "Failed to parse CSV"),
        (b"A,B\n1,\xff\n", "not UTF-8"),
    ],
)
def test_data_that_cannot_be_read_fails_the_job(write: Write, content: bytes, complaint: str) -> None:
    with pytest.raises(JobFailure, match=complaint):
        all_rows(write(content), 10)

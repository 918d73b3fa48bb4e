from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.events_api.day_index import DayIndex, day_of
from libs.emulators.events_api.files import open_source
from libs.emulators.events_api.source import FileError, Source
from libs.emulators.events_api.span import Span

HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
WEEK = Span.parse("2019-10-07", "2019-10-13")
ALWAYS = Span.parse("2019-01-01", "2019-12-31")


def csv_source(tmp_path: Path, *rows: str) -> Source:
    path = tmp_path / "events.csv"
    path.write_bytes((HEADER + "".join(row + "\n" for row in rows)).encode())
    return open_source(path)


def read(source: Source, span: Span = ALWAYS) -> list[Any]:
    return [json.loads(text, parse_float=str, parse_int=str) for text in source.records(span, 0, 10_000)]


def row(day: int, *, user: int = 1, brand: str = "acer") -> str:
    return f"2019-10-{day:02} 10:00:00 UTC,view,44,2053013555631882655,,{brand},35.70,{user},s{user}"


def test_a_csv_row_becomes_an_object_with_its_numbers_digit_by_digit(tmp_path: Path) -> None:
    source = csv_source(tmp_path, row(7))
    assert source.records(WEEK, 0, 10) == [
        '{"event_time":"2019-10-07 10:00:00 UTC","event_type":"view","product_id":44,"category_id":2053013555631882655,'
        '"category_code":null,"brand":"acer","price":35.70,"user_id":1,"user_session":"s1"}'
    ]


@pytest.mark.parametrize("cell", ["0044", "n/a", "4.5", " 44", "-1"])
def test_an_id_that_is_no_plain_number_stays_text(tmp_path: Path, cell: str) -> None:
    (record,) = csv_source(tmp_path, f"2019-10-07 10:00:00 UTC,view,{cell},1,,,1,1,s").records(WEEK, 0, 1)
    assert json.loads(record)["product_id"] == cell


@pytest.mark.parametrize(
    ("cell", "text"), [("1e400", "1e400"), ("-3", "-3"), ("NaN", '"NaN"'), ("01", '"01"'), (".5", '".5"')]
)
def test_a_price_is_a_number_only_where_json_can_write_it_as_it_stands(tmp_path: Path, cell: str, text: str) -> None:
    (record,) = csv_source(tmp_path, f"2019-10-07 10:00:00 UTC,view,1,1,,,{cell},1,s").records(WEEK, 0, 1)
    assert f'"price":{text},' in record


def test_quoted_commas_quotes_and_line_breaks_stay_in_their_cell(tmp_path: Path) -> None:
    source = csv_source(tmp_path, row(7, brand='"a, ""b""\nc"'), row(7, user=2), "", row(7, user=3, brand="müller"))
    assert [record["brand"] for record in read(source)] == ['a, "b"\nc', "acer", "müller"]
    assert json.loads(source.records(WEEK, 2, 3)[0])["brand"] == "müller"


def test_short_rows_lack_fields_and_long_ones_have_extra_cells(tmp_path: Path) -> None:
    short, long = read(csv_source(tmp_path, "2019-10-07 10:00:00 UTC,view", row(7) + ",more,and more"))
    assert short == {"event_time": "2019-10-07 10:00:00 UTC", "event_type": "view"}
    assert long["_extra"] == ["more", "and more"]


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "bom.CSV"
    path.write_bytes(b"\xef\xbb\xbf" + (HEADER + row(7)).replace("\n", "\r\n").encode())
    assert read(open_source(path))[0]["event_time"] == "2019-10-07 10:00:00 UTC"


def test_only_the_days_asked_for_are_served(tmp_path: Path) -> None:
    source = csv_source(tmp_path, *(row(day, user=day) for day in (14, 6, 7, 13, 8, 14, 9)))
    assert source.count(WEEK) == 4
    assert [record["user_id"] for record in read(source, WEEK)] == ["7", "13", "8", "9"]
    assert source.records(WEEK, 4, 10) == []


def test_a_time_with_an_offset_belongs_to_its_utc_day(tmp_path: Path) -> None:
    source = csv_source(
        tmp_path, "2019-10-13T23:30:00-02:00,view,1,1,,,1,9,s", "2019-10-14T00:30:00+02:00,view,1,1,,,1,8,s"
    )
    assert [record["user_id"] for record in read(source, WEEK)] == ["8"]


def test_a_row_without_a_readable_time_goes_with_the_row_before_it(tmp_path: Path) -> None:
    bad = "yesterday,view,1,1,,,1,{},s"
    source = csv_source(tmp_path, bad.format("a"), row(7), bad.format("b"), row(20), bad.format("c"))
    assert [record["user_id"] for record in read(source, WEEK)] == ["a", "1", "b"]


def test_a_file_without_any_readable_time_is_served_whatever_the_dates(tmp_path: Path) -> None:
    assert csv_source(tmp_path, "x,view,1,1,,,1,1,s", "y,view,1,1,,,1,1,s").count(WEEK) == 2


def test_a_file_of_a_header_alone_is_empty(tmp_path: Path) -> None:
    source = csv_source(tmp_path)
    assert (source.count(WEEK), source.records(WEEK, 0, 10)) == (0, [])


def test_json_lines_are_served_as_they_stand(tmp_path: Path) -> None:
    lines = ['{"event_time": "2019-10-07 01:00:00 UTC", "price": 1.10}', "null", '{"event_time":12}', '"x"']
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join([*lines[:2], "", *lines[2:]]))
    assert open_source(path).records(WEEK, 0, 10) == lines


def test_a_line_that_is_no_json_is_served_as_text_so_that_it_costs_no_page(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b'{"event_time":"2019-10-07 01:00:00 UTC"}\n{"event_time":\n\xff\n')
    assert open_source(path).records(WEEK, 1, 10) == ['"{\\"event_time\\":"', '"\\ufffd"']


def test_parquet_rows_become_objects_with_exact_decimals_and_iso_times(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    table = pa.table(
        {
            "event_time": pa.array([datetime(2019, 10, 7, 1, tzinfo=UTC)], pa.timestamp("ns", "UTC")),
            "price": pa.array([Decimal("12.3000")], pa.decimal128(18, 4)),
            "weight": [float("nan")],
            "day": [date(2019, 10, 7)],
            "user_id": [541312140],
            "brand": pa.array([None], pa.string()),
        }
    )
    pq.write_table(table, path)
    assert open_source(path).records(WEEK, 0, 10) == [
        '{"event_time":"2019-10-07T01:00:00+00:00","price":12.3000,"weight":"nan","day":"2019-10-07",'
        '"user_id":541312140,"brand":null}'
    ]


def test_pages_of_a_parquet_file_cross_its_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    times = [datetime(2019, 10, 1) + timedelta(hours=hour) for hour in range(480)]  # noqa: DTZ001 - a column without a zone
    pq.write_table(pa.table({"event_time": times, "n": list(range(480))}), path, row_group_size=50)
    source = open_source(path)
    assert source.count(WEEK) == 168
    assert [json.loads(text)["n"] for text in source.records(WEEK, 3, 163)] == list(range(147, 307))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("events.xlsx", b"", "is none of .csv"),
        ("events", b"", "no suffix"),
        ("events.csv", b"a,b\n1,2\n", "event_time among them"),
        ("events.csv", b"", "event_time among them"),
        ("events.csv", HEADER.encode() + b"x" * 200_000, "cannot be read as CSV"),
        ("events.parquet", b"PAR?", "is not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_served_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileError, match=message):
        open_source(path)


def test_a_parquet_file_without_times_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(FileError, match="no column event_time"):
        open_source(tmp_path / "x.parquet")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is not a file"):
        open_source(tmp_path / "none.csv")


def test_many_rows_of_a_day_are_read_at_random(tmp_path: Path) -> None:
    source = csv_source(tmp_path, *(row(7 + n // 1_500, user=n) for n in range(4_000)))
    for first, stop in [(0, 10), (995, 1_005), (1_495, 1_510), (3_990, 4_100)]:
        users = [json.loads(text)["user_id"] for text in source.records(WEEK, first, stop)]
        assert users == list(range(first, min(stop, 4_000)))


days = st.lists(st.none() | st.integers(WEEK.start.toordinal() - 2, WEEK.end.toordinal() + 2), max_size=60)


@given(days, st.integers(0, 70), st.integers(0, 70))
def test_any_slice_of_the_index_is_that_of_the_filtered_rows(found: list[int | None], first: int, size: int) -> None:
    index, wanted, current = DayIndex(), [], next((day for day in found if day is not None), None)
    for position, day in enumerate(found):
        index.add(position, day)
        current = day if day is not None else current
        wanted += [position] * (current is None or WEEK.start.toordinal() <= current <= WEEK.end.toordinal())
    stretches = list(index.stretches(WEEK, first, first + size))
    got = [stretch.position + stretch.skip + n for stretch in stretches for n in range(stretch.rows)]
    assert index.count(WEEK) == len(wanted)
    assert got == wanted[first : first + size]


@pytest.mark.parametrize("value", [None, 1570406400, "", "2019-10-32 00:00:00 UTC", "0001-01-01T00:00:00+05:00", True])
def test_what_is_no_time_has_no_day(value: object) -> None:
    assert day_of(value) is None

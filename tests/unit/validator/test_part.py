"""A part judged column by column gives what judging each record by itself gives, and loses none."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.common.events.schema import ENCODED_EVENT_SCHEMA, EVENT_SCHEMA, RAW_SCHEMA, REJECT_SCHEMA
from libs.common.week import Week
from services.validator import part as part_module
from services.validator.files import validate_files
from services.validator.part import PartJudge
from services.validator.record import COLUMNS, Fault, judge
from services.validator.values import read_json

WEEK = Week(date(2019, 9, 30), date(2019, 10, 6))
INGESTED_AT = datetime(2019, 10, 7, 1, 2, 3, 456789, tzinfo=UTC)
GOOD = '{"event_time":"2019-10-01 00:00:00 UTC","event_type":"view","user_id":1}'

ODD_TIMES = (b"23:59:60", b"23:59:59", b"24:00:00", b"00:60:00", b"00:00:00.5+01", b"00:00:00 ", b"00:00", b"00:00:0")


def judged(*pages: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]], PartJudge]:
    part = PartJudge(WEEK, INGESTED_AT)
    valid, rejects = [], []
    for number, body in enumerate(pages, start=1):
        part.add_page(number, body)
        if part.is_full:
            more_valid, more_rejects = part.flush()
            valid.append(more_valid)
            rejects.append(more_rejects)
    more_valid, more_rejects = part.flush()
    valid_table = pa.concat_tables([*valid, more_valid])
    rejects_table = pa.concat_tables([*rejects, more_rejects])
    valid_table.validate(full=True)
    rejects_table.validate(full=True)
    assert valid_table.schema.equals(ENCODED_EVENT_SCHEMA)
    assert rejects_table.schema.equals(REJECT_SCHEMA)
    assert (part.report.valid, part.report.rejected) == (valid_table.num_rows, rejects_table.num_rows)
    assert part.report.reject_counts.total() == part.report.rejected
    return valid_table.to_pylist(), rejects_table.to_pylist(), part


def one_by_one(pages: Sequence[Sequence[bytes]]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    valid, rejects = [], []
    for number, records in enumerate(pages, start=1):
        for position, text in enumerate(records):
            match judge(read_json(text)):
                case Fault(code, field, message):
                    raw = text.decode("utf-8", "backslashreplace")
                    rejects.append((number, position, code, field, message, raw))
                case event:
                    valid.append(tuple(event))
    return valid, rejects


def body_of(records: Sequence[bytes]) -> bytes:
    return b"[" + b" , ".join(records) + b"]"


_texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", " ", "\u00a0x\u2003", "İ", "ΑΣ", "\u0000", "a\u2028", "12", "view", "View "]),
).map(json.dumps)
_numbers = st.one_of(
    st.integers(-3, 3).map(str),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: json.dumps(str(d))),
    st.sampled_from(
        [
            "-0",
            "-0.0",
            "1e3",
            "1E-4",
            "1e400",
            "0e999",
            "12.34567",
            "12.50000",
            "99999999999999.9999",
            "1e-40",
            "1" * 40,
        ]
    ),
    st.from_regex(r'"[ +-]?[0-9_.]{0,6}(e[+-]?[0-9]{1,3})?"', fullmatch=True, alphabet=st.characters(codec="ascii")),
)
_odd = st.sampled_from(["null", "true", "false", "[]", "{}", '[1,"a"]', '{"a":{"b":1.5}}', "1.5", "NaN", r'"\ud83d"'])
_moments = st.one_of(
    st.datetimes().map(lambda at: at.isoformat(sep=" ", timespec="seconds") + " UTC"),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.from_regex(
        r"[0-2]0[01][0-9]-[01][0-9]-[0-3][0-9][T t][0-2][0-9]:[0-6]0:[0-6]0([.,][0-9]{1,9})?"
        r"( ?(Z|z|UTC|[+-][0-2][0-9](:?[0-6]0)?))?",
        fullmatch=True,
    ),
    st.sampled_from(["2019-02-30 00:00:00", "2019-W40-2T12:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01"]),
).map(json.dumps)
_value = st.one_of(_texts, _numbers, _odd, _moments)
_plausible = {
    "event_time": _moments,
    "event_type": _texts,
    "product_id": st.one_of(_texts, _numbers),
    "category_id": st.one_of(_texts, _numbers),
    "category_code": _texts,
    "brand": _texts,
    "price": _numbers,
    "user_id": st.one_of(_texts, _numbers),
    "user_session": _texts,
}
_fields = st.one_of(
    st.fixed_dictionaries(
        {}, optional={**{name: st.one_of(v, _value) for name, v in _plausible.items()}, "x y": _value}
    ),
    st.fixed_dictionaries(_plausible),
    st.fixed_dictionaries(
        {"event_time": st.just('"2019-10-01T00:00:00Z"'), "event_type": _texts, "user_id": st.just("7")},
        optional={"price": _numbers, "brand": _value, "z": _value},
    ),
)
_objects = _fields.map(
    lambda fields: ("{" + ",".join(f"{json.dumps(k)}: {v}" for k, v in fields.items()) + "}").encode()
)
_records = st.one_of(_objects, _objects, _objects, _value.map(str.encode), st.just(GOOD.encode()))


@given(st.lists(st.lists(_records, max_size=6), max_size=4), st.sampled_from([1, 3, 1000]))
@example(
    [[GOOD.encode().replace(b"1}", b'1,"price":%s}' % price)] for price in (b"1e-308", b'"1E-40"', b"7.50000000")], 1
)
@example([[GOOD.encode()] * 3, [b"null"], [GOOD.encode()]], 1000)
@example([[GOOD.encode().replace(b":1}", b":%s}" % user)] for user in (b"7", b'" 7 "', b"1" * 40, b"null", b"7")], 1)
@example([[GOOD.encode().replace(b"00:00:00 UTC", time) for time in ODD_TIMES]], 1000)
def test_columns_and_single_records_get_the_same_verdict(pages: list[list[bytes]], gathered_records: int) -> None:
    with mock.patch.object(part_module, "GATHERED_RECORDS", gathered_records):
        valid, rejects, part = judged(*map(body_of, pages))
    expected_valid, expected_rejects = one_by_one(pages)
    assert [tuple(row[name] for name in COLUMNS) for row in valid] == expected_valid
    assert [tuple(row.values()) for row in rejects] == expected_rejects
    assert len(valid) + len(rejects) == sum(map(len, pages))
    assert part.report.reject_counts == Counter(row[2] for row in expected_rejects)


@given(st.lists(st.lists(_records, max_size=6), max_size=4))
def test_unknown_fields_are_counted_by_name_and_type(pages: list[list[bytes]]) -> None:
    *_, part = judged(*map(body_of, pages))
    expected: dict[str, Counter[str]] = {}
    for text in (text for records in pages for text in records):
        record = read_json(text)
        names = [name for name in record if name not in COLUMNS] if isinstance(record, dict) else []
        for name in names:
            expected.setdefault(name, Counter())[_json_type(record[name])] += 1
    assert part.report.unknown_fields == expected


def _json_type(value: Any) -> str:
    names = {"str": "string", "Number": "number", "bool": "boolean", "NoneType": "null", "list": "array"}
    return names.get(type(value).__name__, "object")


@pytest.mark.parametrize(
    "body", [b"[%s]", b'{"data":[%s]}', b'{"total":1,"events":[%s]}', b'{"results": [%s] }', b'{"items":[%s]}']
)
@pytest.mark.parametrize("record", [GOOD.encode(), GOOD.encode().replace(b"1}", rb'1,"brand":"\ud83d"}')])
def test_every_known_shape_of_a_page_is_read(body: bytes, record: bytes) -> None:
    valid, rejects, _ = judged(body % record)
    assert len(valid) + len(rejects) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"events":', b"[1,]", b"null", b'"x"', b"{}", b'{"rows":[]}', b'{"data":{}}', b"[" * 9000],
)
def test_a_page_without_records_is_one_reject_and_costs_no_other(body: bytes) -> None:
    valid, rejects, _ = judged(body_of([GOOD.encode()]), body, body_of([GOOD.encode()]))
    assert len(valid) == 2
    assert [(row["page"], row["position"], row["reject_code"], row["field"], row["raw"]) for row in rejects] == [
        (2, -1, "bad_page", None, body.decode())
    ]


def test_a_record_that_strict_json_forbids_costs_no_other() -> None:
    half = GOOD.replace('"view"', r'"\ud83d"').encode()
    not_a_number = GOOD.replace("1}", '1,"price":NaN}').encode()
    no_utf8 = GOOD.replace("1}", '1,"brand":"@"}').encode().replace(b"@", b"\xff")
    valid, rejects, _ = judged(body_of([GOOD.encode(), half, not_a_number, no_utf8, GOOD.encode()]))
    assert len(valid) == 2
    assert [(row["position"], row["reject_code"], row["field"]) for row in rejects] == [
        (1, "bad_type", "event_type"),
        (2, "bad_price", "price"),
        (3, "bad_type", "brand"),
    ]
    assert rejects[0]["raw"] == half.decode()
    assert rejects[2]["raw"] == no_utf8.decode("utf-8", "backslashreplace")


def test_a_reject_keeps_the_record_byte_for_byte() -> None:
    record = '{ "user_id" : 1.0,\n\t"event_type":"\\u0041é",  "event_time":"2019-10-01T00:00:00Z" }'
    _, rejects, _ = judged(f'{{"data" : [ {record} ] }}'.encode())
    assert rejects[0]["raw"] == record


def test_batch_columns_are_the_runs() -> None:
    (row,), _, _ = judged(body_of([GOOD.encode()]))
    assert (row["batch_week_start"], row["batch_week_end"]) == (WEEK.start, WEEK.end)
    assert row["ingested_at"] == INGESTED_AT


def test_verdicts_do_not_depend_on_how_records_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [body_of([GOOD.encode(), b'{"event_type":"x"}', b"[]", b'{"u":1}'])] * 5
    whole = judged(*pages)
    monkeypatch.setattr(part_module, "BATCH_RECORDS", 3)
    cut = judged(*pages)
    assert cut[:2] == whole[:2]
    assert cut[2].report == whole[2].report


def test_unknown_fields_beyond_the_limit_are_passed_over_but_their_records_are_not() -> None:
    records = [f'{{"new_{n}":1,{GOOD[1:]}'.encode() for n in range(100)]
    valid, _, part = judged(*[body_of(records[n : n + 10]) for n in range(0, 100, 10)])
    assert len(valid) == 100
    assert list(part.report.unknown_fields) == [f"new_{n}" for n in range(64)]


def test_arrow_strips_the_characters_that_python_strips() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    stripped = pc.utf8_trim_whitespace(pa.array(characters, pa.string())).to_pylist()
    assert stripped == [character.strip() for character in characters]


@pytest.mark.parametrize("batch_records", [70, 8192], ids=["many batches", "a single one"])
def test_a_part_is_read_back_as_it_was_judged(tmp_path: Path, batch_records: int) -> None:
    """Every batch has dictionaries of its own: other sessions, other spellings, ids that are no numbers."""
    records = [
        GOOD.replace('"view"', json.dumps(["view", " View", "cart"][n % 3]))
        .replace("1}", f'{n if n % 7 else json.dumps(f"u{n}")},"user_session":"s{n // 4}","brand":"b{n % 5}"}}')
        .encode()
        for n in range(500)
    ]
    bodies = [body_of(records[n : n + 20]) for n in range(0, 500, 20)]
    raw = pa.Table.from_pydict(
        {"page": range(1, 26), "fetched_at": [INGESTED_AT] * 25, "body": bodies}, schema=RAW_SCHEMA
    )
    pq.write_table(raw, tmp_path / "raw")
    with (
        mock.patch.object(part_module, "GATHERED_RECORDS", 30),
        mock.patch.object(part_module, "BATCH_RECORDS", batch_records),
    ):
        report = validate_files(tmp_path / "raw", tmp_path / "valid", tmp_path / "rejects", WEEK, INGESTED_AT)
    assert (report.valid, report.rejected) == (500, 0)
    found = pq.read_table(tmp_path / "valid")
    assert found.schema.equals(EVENT_SCHEMA)
    expected, _ = one_by_one([records])
    assert [tuple(row[name] for name in COLUMNS) for row in found.to_pylist()] == expected
    assert pq.read_table(tmp_path / "rejects").schema.equals(REJECT_SCHEMA)

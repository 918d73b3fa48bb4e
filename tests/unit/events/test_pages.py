"""Cutting records out of a page: byte for byte, strict or not, and saying what is wrong with a page that has none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events.pages import BrokenPageError, PageError, split_page, survey_page

_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


@given(st.lists(_json, max_size=5), st.booleans(), st.sampled_from([None, 1]), st.sampled_from(["data", "items"]))
def test_records_come_out_as_they_went_in(records: list[Any], ascii_only: bool, indent: int | None, key: str) -> None:
    texts = [json.dumps(record, ensure_ascii=ascii_only, indent=indent).encode() for record in records]
    listed = b"[" + b" ,\n".join(texts) + b"]"
    assert split_page(b" " + listed + b"\n") == texts
    named = b'{"total" : [1, {"data": 2}], ' + json.dumps(key).encode() + b" : " + listed + b', "next":null}'
    assert split_page(named) == texts


@pytest.mark.parametrize(
    "record", [rb'"\ud83d"', rb'{"a":"\udc00x"}', b'"\xff"', b"NaN", b"[-Infinity]", b'"a\nb"', b'{"a\tb":"\x01"}']
)
@pytest.mark.parametrize("body", [b"[1, %s , {}]", b'{"page":[],"data": [1, %s , {}] , "n":1}'])
def test_a_record_that_strict_json_forbids_is_cut_out_as_well(record: bytes, body: bytes) -> None:
    assert split_page(body % record) == [b"1", record, b"{}"]


@pytest.mark.parametrize("record", [b'{"a": 1}', b"NaN", rb'"\ud83d"', b'"\xff"'])
def test_a_survey_counts_the_records_and_keeps_the_fields_beside_them(record: bytes) -> None:
    assert survey_page(b"\xef\xbb\xbf[1, %s]" % record) == (2, {})
    page = b'{"total": 7, "events": [1, %s ], "next" :null}' % record
    assert survey_page(page) == (2, {"total": b"7", "next": b"null"})


@given(st.lists(_json, max_size=5), st.integers(0, 40))
def test_a_page_that_breaks_off_is_told_from_one_that_is_none(records: list[Any], missing: int) -> None:
    body = json.dumps(records).encode()
    with pytest.raises(BrokenPageError):
        survey_page(body[: max(0, len(body) - 1 - missing)])


@pytest.mark.parametrize("body", [b"null", b"7", b'"text"', b'{"data":null}', b'{"rows":[]}', b"{}"])
def test_json_without_records_is_no_broken_page(body: bytes) -> None:
    with pytest.raises(PageError) as caught:
        survey_page(body)
    assert not isinstance(caught.value, BrokenPageError)


def test_of_several_known_keys_the_first_in_the_contracts_order_counts() -> None:
    assert split_page(b'{"items":[1],"results":[2],"events":[3],"data":[4]}') == [b"4"]
    assert split_page(b'{"items":[1],"results":[2, "\xff"]}') == [b"2", b'"\xff"']


def test_a_byte_order_mark_is_no_part_of_the_page() -> None:
    assert split_page(b"\xef\xbb\xbf[1]") == [b"1"]


@pytest.mark.parametrize("tail", [b"", b',"x":"\xff"'])
def test_an_unknown_shape_names_the_keys_it_found(tail: bytes) -> None:
    with pytest.raises(PageError, match="none of the keys data, events, results, items; found: error, rows"):
        split_page(b'{"rows":[],"error":1' + tail.replace(b'"x":"\xff"', b'"error":"\xff"') + b"}")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<html></html>",
        b"null",
        b"7",
        b'"text"',
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[1]]",
        b"[1] [2]",
        b"[01]",
        b"[nul]",
        b"{",
        b'{"data"',
        b'{"data":',
        b'{"data":[1]',
        b'{"data":[1],}',
        b'{"data" [1]}',
        b"{data:[1]}",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":null,"events":[1]}',
        b'["\xff",]',
        b'{"data":["\xff"]}x',
        b"\xff\xfe[\x001\x00]\x00",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_is_no_page_of_records_is_refused(body: bytes) -> None:
    with pytest.raises(PageError):
        split_page(body)

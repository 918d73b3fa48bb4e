from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.events_api import pages
from libs.emulators.events_api.pages import CursorError, PageShape
from libs.emulators.events_api.span import Span

SPAN = Span.parse("2019-10-07", "2019-10-13")
OTHER_SPAN = Span.parse("2019-10-14", "2019-10-20")


def test_a_list_body_is_the_records_alone() -> None:
    body = pages.render(PageShape(), ['{"price":12.30}', "null"], total=9, next_cursor="x")
    assert body == b'[{"price":12.30},null]'


@pytest.mark.parametrize("key", ["data", "events", "results", "items", "anything"])
def test_an_object_body_holds_the_records_under_its_key(key: str) -> None:
    body = pages.render(PageShape(key), ["1", "2"], total=9, next_cursor=None)
    assert json.loads(body) == {key: [1, 2]}


def test_the_total_stands_in_the_body_or_in_a_header_as_asked() -> None:
    in_body, in_header = PageShape("data", total="field"), PageShape("list", total="header")
    assert json.loads(pages.render(in_body, [], total=9, next_cursor=None)) == {"data": [], "total": 9}
    assert pages.headers(in_body, total=9, next_url=None) == {}
    assert pages.headers(in_header, total=9, next_url=None) == {"X-Total-Count": "9"}


@pytest.mark.parametrize("cursor", ["abc", None])
def test_cursor_pages_name_the_next_cursor_and_the_last_has_none(cursor: str | None) -> None:
    body = pages.render(PageShape("data", pagination="cursor"), [], total=0, next_cursor=cursor)
    assert json.loads(body)["next_cursor"] == cursor


def test_link_pages_name_the_next_address_and_the_last_has_no_link() -> None:
    shape = PageShape(pagination="link")
    assert pages.headers(shape, total=9, next_url="http://h/e?page=2") == {"Link": '<http://h/e?page=2>; rel="next"'}
    assert pages.headers(shape, total=9, next_url=None) == {}


@given(st.integers(0, 2**60))
def test_a_cursor_leads_back_to_its_record(first: int) -> None:
    assert pages.decode_cursor(SPAN, pages.encode_cursor(SPAN, first)) == first


@pytest.mark.parametrize("cursor", ["nonsense", "é", "!!!!", "bnVsbA", pages.encode_cursor(OTHER_SPAN, 5), "="])
def test_a_cursor_of_another_span_or_of_nobody_is_refused(cursor: str) -> None:
    with pytest.raises(CursorError, match="handed out"):
        pages.decode_cursor(SPAN, cursor)


@pytest.mark.parametrize("shape", [{"total": "field"}, {"pagination": "cursor"}])
def test_a_list_body_has_no_place_for_a_total_or_a_cursor(shape: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="a list body has no place"):
        PageShape(**shape)  # type: ignore[arg-type]  # a plain dict of literals

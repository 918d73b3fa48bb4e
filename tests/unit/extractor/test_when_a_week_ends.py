"""Where the pages of a week end, and what is noticed on the way."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import msgspec
import pytest

from libs.common.week import Week
from services.extractor.client import retry_after_sec
from services.extractor.errors import ApiMalformedError, ApiResponseError
from services.extractor.pages import Page, read_page
from services.extractor.paging import numbered_pages
from services.extractor.progress import REMEMBERED_PAGES, Progress, Served, after, last_page_expected

WEEK = Week.of(date(2026, 1, 5))


def page(number: int, records: int, *, total: int | None = None, cursor: str | None = None) -> Page:
    body = msgspec.json.encode([[number, index] for index in range(records)])
    return Page(number, body, records, total, cursor)


def fetched(*pages: Page, numbered: bool = True) -> Progress:
    progress = Progress()
    served = Served(progress)
    for each in pages:
        progress = after(progress, each, numbered=numbered, served=served)
    return progress


class Api:
    """A source of numbered pages that counts how many are asked for at once."""

    def __init__(self, *sizes: int, total: int | None = None) -> None:
        self.sizes, self.total = sizes, total
        self.asked: list[int] = []
        self.flying = self.peak = 0

    async def numbered_page(self, week: Week, number: int) -> Page:
        self.asked.append(number)
        self.flying += 1
        self.peak = max(self.peak, self.flying)
        await asyncio.sleep(0)
        self.flying -= 1
        return page(number, self.sizes[number - 1] if number <= len(self.sizes) else 0, total=self.total)

    async def named_page(self, week: Week, number: int, cursor: str | None) -> Page:
        raise AssertionError("not asked for by name")


@pytest.mark.parametrize("key", ["data", "events", "results", "items"])
def test_records_are_found_under_every_known_key(key: str) -> None:
    found = read_page(1, msgspec.json.encode({"meta": 1, key: [{}, {}], "total": 7}))
    assert (found.records, found.total) == (2, 7)


def test_a_list_is_its_own_records_and_a_header_may_tell_the_total() -> None:
    found = read_page(1, b' [{"a": 1}]', header_total="12")
    assert (found.records, found.total, found.body) == (1, 12, b' [{"a": 1}]')


def test_an_object_without_a_known_key_is_an_error_that_names_the_keys() -> None:
    with pytest.raises(ApiResponseError, match="found: message, status"):
        read_page(3, b'{"status": "ok", "message": "none"}')


@pytest.mark.parametrize("body", [b"", b'{"data": [', b"[1,", b"\xff\xfe", b"<html></html>"])
def test_what_is_no_json_never_counts_as_an_empty_page_and_may_come_better_the_next_time(body: bytes) -> None:
    with pytest.raises(ApiMalformedError, match="Page 3 "):
        read_page(3, body)


@pytest.mark.parametrize("record", [b"NaN", rb'{"brand":"\ud83d"}', b'"\xff"', b'{"a":"\n"}'])
def test_a_record_that_strict_json_forbids_does_not_cost_its_page(record: bytes) -> None:
    found = read_page(1, b'\xef\xbb\xbf{"data":[{}, %s],"total":9,"next_cursor":"b"}' % record)
    assert (found.records, found.total, found.next_cursor) == (2, 9, "b")


@pytest.mark.parametrize(
    ("value", "cursor"), [(b"null", None), (b'""', None), (b'"x"', "x"), (b"0", "0"), (b'"\\u00fc"', "ü")]
)
def test_a_cursor_is_text_or_a_number_and_null_or_blank_is_the_end(value: bytes, cursor: str | None) -> None:
    assert read_page(1, b'{"data":[1],"next_cursor":%s}' % value).next_cursor == cursor


@pytest.mark.parametrize("value", [b"true", b"1.5", b'{"page":2}', b'["b"]', rb'"\ud83d"'])
def test_a_cursor_that_cannot_be_understood_is_an_error_and_not_the_end(value: bytes) -> None:
    with pytest.raises(ApiResponseError, match="names the next page by"):
        read_page(1, b'{"data":[1],"next_cursor":%s}' % value)


def test_where_links_name_the_next_page_a_cursor_in_the_body_does_not() -> None:
    assert read_page(1, b'{"data":[1],"cursor":"b"}', by_link=True).next_cursor is None
    assert read_page(1, b'{"data":[1],"cursor":"b"}', by_link=True, next_link="/c").next_cursor == "/c"


def test_a_reported_total_ends_the_week_when_it_is_reached() -> None:
    assert not fetched(page(1, 10, total=15)).ended
    assert fetched(page(1, 10, total=15), page(2, 5, total=15)).ended


def test_a_short_page_ends_the_week_only_measured_by_the_first_page() -> None:
    assert not fetched(page(1, 500)).ended, "the API may cap the page size"
    assert not fetched(page(1, 500), page(2, 500)).ended
    assert fetched(page(1, 500), page(2, 499)).ended


def test_an_empty_page_ends_the_week_and_a_total_that_was_not_reached_is_told() -> None:
    progress = fetched(page(1, 10, total=30), page(2, 0, total=30))
    assert progress.ended
    assert progress.anomalies == ("the API reported 30 events and served 10",)


def test_a_total_that_changes_and_a_page_served_twice_are_noticed() -> None:
    progress = fetched(page(1, 10, total=40), Page(2, page(1, 10).body, 10, 41))
    assert progress.anomaly_count == 2


def test_a_page_that_comes_again_later_is_noticed_and_named() -> None:
    progress = fetched(page(1, 10), page(2, 10), Page(3, page(1, 10).body, 10))
    assert progress.anomalies == ("page 3 has the same content as page 1",)


def test_empty_pages_are_no_repetition() -> None:
    assert fetched(page(1, 0, cursor="b"), page(2, 0, cursor="c"), page(3, 0), numbered=False).anomaly_count == 0


def test_a_page_that_comes_again_after_a_restart_is_noticed() -> None:
    before = fetched(page(1, 10), page(2, 10))
    again = Page(3, page(2, 10).body, 10)
    assert after(before, again, numbered=True, served=Served(before)).anomaly_count == 1


def test_of_an_endless_week_only_the_newest_pages_are_remembered() -> None:
    served = Served(Progress())
    for number in range(1, REMEMBERED_PAGES + 2):
        served.twin_of(page(number, 1))
    assert served.twin_of(Page(0, page(1, 1).body, 1)) is None
    assert served.twin_of(Page(0, page(3, 1).body, 1)) == 3


@pytest.mark.parametrize("cursors", ["aa", "aba", "abca"])
def test_cursors_that_go_round_in_a_circle_are_an_error(cursors: str) -> None:
    with pytest.raises(ApiResponseError, match="a round without end"):
        fetched(*(page(number, 1, cursor=cursor) for number, cursor in enumerate(cursors, 1)), numbered=False)


def test_an_api_that_serves_one_page_for_ever_is_an_error() -> None:
    same = page(1, 10).body
    with pytest.raises(ApiResponseError, match="same 10 records"):
        fetched(Page(1, same, 10), Page(2, same, 10), Page(3, same, 10))


def test_named_pages_end_where_no_next_one_is_named() -> None:
    assert not fetched(page(1, 10, cursor="b"), numbered=False).ended
    assert fetched(page(1, 10, cursor="b"), page(2, 10), numbered=False).ended


def test_progress_survives_the_state_table() -> None:
    progress = fetched(page(1, 10, total=40), page(2, 10, total=41))
    assert Progress.from_details(progress.to_details()) == progress


def test_pages_come_in_order_with_a_bounded_number_in_flight() -> None:
    api = Api(*[10] * 20, 3)

    async def numbers() -> list[int]:
        return [each.number async for each, _ in numbered_pages(api, WEEK, Progress(), concurrency=4, page_size=10)]

    assert asyncio.run(numbers()) == list(range(1, 22))
    assert api.peak == 4
    assert len(api.asked) == len(set(api.asked)), "no page is asked for twice"


def test_with_a_total_nothing_is_asked_for_past_the_end() -> None:
    api = Api(10, 10, 10, total=30)

    async def drain() -> None:
        async for _ in numbered_pages(api, WEEK, Progress(), concurrency=8, page_size=10):
            pass

    asyncio.run(drain())
    assert sorted(api.asked) == [1, 2, 3]


def test_the_last_page_is_foretold_from_the_total() -> None:
    assert last_page_expected(fetched(page(1, 10, total=35)), 10) == 4
    assert last_page_expected(fetched(page(1, 10)), 10) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("99999", 120.0),
        ("Mon, 05 Jan 2026 00:00:09 GMT", 9.0),
        ("Mon, 05 Jan 2026 00:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(header: str | None, seconds: float | None) -> None:
    assert retry_after_sec(header, datetime(2026, 1, 5, tzinfo=UTC)) == seconds

from __future__ import annotations

import pytest

from libs.emulators.events_api import pages
from libs.emulators.events_api.pages import Pagination
from libs.emulators.events_api.queries import PageRequest, RequestError, check_key, parse_page_request
from libs.emulators.events_api.span import Span

DATES = {"start_date": "2019-10-07", "end_date": "2019-10-13"}
SPAN = Span.parse("2019-10-07", "2019-10-13")


def parse(query: dict[str, str], pagination: Pagination = "page", max_page_size: int = 500) -> PageRequest:
    return parse_page_request(query, pagination=pagination, max_page_size=max_page_size)


def test_pages_count_from_one() -> None:
    assert parse(DATES | {"page": "1", "page_size": "20"}) == PageRequest(SPAN, 0, 20)
    assert parse(DATES | {"page": "3", "page_size": "20"}) == PageRequest(SPAN, 40, 20)
    assert parse(DATES | {"page": "3", "page_size": "20"}).number == 3


def test_the_first_page_of_a_thousand_is_served_unless_asked_otherwise() -> None:
    assert parse(DATES, max_page_size=10_000) == PageRequest(SPAN, 0, 1_000)


def test_a_page_size_above_the_maximum_is_cut_to_it() -> None:
    assert parse(DATES | {"page": "2", "page_size": "9999"}) == PageRequest(SPAN, 500, 500)


def test_a_cursor_stands_for_the_page() -> None:
    query = DATES | {"page_size": "20", "page": "9", "cursor": pages.encode_cursor(SPAN, 60)}
    assert parse(query, "cursor") == PageRequest(SPAN, 60, 20)
    assert parse(DATES | {"page_size": "20"}, "cursor").first == 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "start_date"),
        ({"start_date": "2019-10-07"}, "end_date"),
        (DATES | {"start_date": "7.10.2019"}, "start_date must be a date"),
        (DATES | {"end_date": "2019-10-01"}, "before start_date"),
        (DATES | {"page": "0"}, "page must be a whole number"),
        (DATES | {"page": "-1"}, "page must be a whole number"),
        (DATES | {"page": "two"}, "page must be a whole number"),
        (DATES | {"page": "²"}, "page must be a whole number"),
        (DATES | {"page_size": "0"}, "page_size must be a whole number"),
        (DATES | {"page_size": "9" * 5_000}, "page_size must be a whole number"),
    ],
)
def test_a_query_that_is_wrong_is_refused_by_the_name_of_its_parameter(query: dict[str, str], message: str) -> None:
    with pytest.raises(RequestError, match=message) as refused:
        parse(query)
    assert refused.value.status == 400


def test_a_foreign_cursor_is_a_bad_request() -> None:
    with pytest.raises(RequestError, match="cursor 'x'"):
        parse(DATES | {"cursor": "x"}, "cursor")


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("Authorization", "Bearer k3y"),
        ("Authorization", "bearer  k3y"),
        ("X-Api-Key", "k3y"),
        ("X-Api-Key", "Bearer k3y"),
    ],
)
def test_the_right_key_is_let_through(header: str, sent: str) -> None:
    check_key({header: sent}, header=header, key="k3y")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "k3y"}, 401),
        ({"Authorization": "Basic k3y"}, 401),
        ({"Authorization": "Bearer s3cret"}, 403),
        ({"Authorization": "Bearer schlüssel"}, 403),
    ],
)
def test_a_missing_key_is_unauthorised_and_a_wrong_one_forbidden(sent: dict[str, str], status: int) -> None:
    with pytest.raises(RequestError) as refused:
        check_key(sent, header="Authorization", key="k3y")
    assert refused.value.status == status
    assert "k3y" not in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_no_key_is_asked_for_when_none_is_set() -> None:
    check_key({}, header="Authorization", key=None)

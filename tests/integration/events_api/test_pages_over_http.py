from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.emulators.events_api.faults import FaultSettings
from libs.emulators.events_api.generator import GeneratedWeek, GeneratorOptions
from libs.emulators.events_api.pages import PageShape
from libs.emulators.events_api.server import ServerOptions
from libs.emulators.events_api.span import Span

DATES = {"start_date": "2019-10-07", "end_date": "2019-10-13"}
WEEK = GeneratedWeek(GeneratorOptions(events=95), Span.parse("2019-10-07", "2019-10-13")).records(0, 95)


def page(number: int, size: int = 20, **more: str) -> dict[str, str]:
    return DATES | {"page": str(number), "page_size": str(size)} | more


async def test_pages_by_number_add_up_to_the_week_and_end_short_then_empty(start: Any) -> None:
    client = await start()
    bodies = [await (await client.get("/events", params=page(number))).text() for number in range(1, 7)]
    assert "[" + ",".join(body[1:-1] for body in bodies[:5]) + "]" == "[" + ",".join(WEEK) + "]"
    assert bodies[5] == "[]"


async def test_pages_by_cursor_add_up_to_the_week(start: Any) -> None:
    client = await start(ServerOptions(shape=PageShape("events", pagination="cursor")))
    events: list[Any] = []
    body: dict[str, Any] = {"next_cursor": ""}
    while body["next_cursor"] is not None:
        body = await (await client.get("/events", params=page(1, cursor=body["next_cursor"]))).json()
        events += body["events"]
    whole = await (await client.get("/events", params=page(1, size=95))).json()
    assert events == whole["events"]
    assert len(events) == 95


async def test_pages_by_link_add_up_to_the_week(start: Any) -> None:
    client = await start(ServerOptions(shape=PageShape(pagination="link"), api_key="k"))
    events: list[Any] = []
    following: Any = client.make_url("/events").with_query(page(1, size=30))
    while following is not None:
        response = await client.session.get(following, headers={"Authorization": "Bearer k"})
        events += await response.json()
        following = response.links.get("next", {}).get("url")
    assert len(events) == 95
    assert len({str(event) for event in events}) == 95


@pytest.mark.parametrize("key", ["data", "results", "items"])
async def test_an_object_body_has_its_total_beside_the_records(start: Any, key: str) -> None:
    client = await start(ServerOptions(shape=PageShape(key, total="field")))
    body = await (await client.get("/events", params=page(1))).json()
    assert body.keys() == {key, "total"}
    assert (len(body[key]), body["total"]) == (20, 95)


async def test_a_list_body_has_its_total_in_a_header(start: Any) -> None:
    client = await start(ServerOptions(shape=PageShape(total="header")))
    response = await client.get("/events", params=page(9))
    assert response.headers["X-Total-Count"] == "95"
    assert response.content_type == "application/json"


async def test_a_page_never_holds_more_than_the_maximum(start: Any) -> None:
    client = await start(ServerOptions(max_page_size=7))
    assert len(await (await client.get("/events", params=page(2))).json()) == 7


async def test_bodies_are_compressed_for_clients_that_accept_it(start: Any) -> None:
    client = await start(ServerOptions(gzip=True))
    response = await client.get("/events", params=page(1), headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(await response.json()) == 20


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "missing_key"),
        ({"Authorization": "Bearer no"}, 403, "wrong_key"),
        ({"Authorization": "Bearer k"}, 200, ""),
    ],
)
async def test_the_key_decides_who_gets_pages(start: Any, headers: dict[str, str], status: int, code: str) -> None:
    client = await start(ServerOptions(api_key="k"))
    response = await client.get("/events", params=page(1), headers=headers)
    assert response.status == status
    assert code in await response.text()


async def test_health_asks_for_no_key(start: Any) -> None:
    client = await start(ServerOptions(api_key="k"))
    assert (await client.get("/health")).status == 200


async def test_a_wrong_query_is_refused_with_the_reason(start: Any) -> None:
    client = await start()
    response = await client.get("/events", params=page(0))
    assert response.status == 400
    assert (await response.json())["error"] == {
        "code": "bad_parameter",
        "message": "page must be a whole number from 1, got '0'",
    }


async def test_the_counts_tell_who_asked_for_what(start: Any) -> None:
    client = await start(ServerOptions(faults=FaultSettings(script={"2": ["500"]})))
    for number in (1, 2, 2, 3):
        await client.get("/events", params=page(number))
    await client.get("/events")
    counts = await (await client.get("/_emulator/stats")).json()
    assert counts["by_status"] == {"200": 3, "400": 1, "500": 1}
    assert counts["requests_per_page"] == {"2019-10-07/2019-10-13": {"1": 1, "2": 2, "3": 1}}
    assert counts["served_per_page"] == {"2019-10-07/2019-10-13": {"1": 1, "2": 1, "3": 1}}
    assert (counts["requests"], counts["in_flight"], counts["faults"]) == (5, 0, {"500": 1})
    assert (await (await client.delete("/_emulator/stats")).json())["requests"] == 0


async def test_the_peak_is_the_number_of_requests_at_the_same_time(start: Any) -> None:
    client = await start(ServerOptions(latency_ms=50))
    await asyncio.gather(*(client.get("/events", params=page(number)) for number in range(1, 5)))
    assert (await (await client.get("/_emulator/stats")).json())["concurrent_peak"] == 4

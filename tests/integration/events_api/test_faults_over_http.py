from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from libs.emulators.events_api.faults import FaultKind, FaultSettings
from libs.emulators.events_api.pages import PageShape
from libs.emulators.events_api.server import ServerOptions

PARAMS = {"start_date": "2019-10-07", "end_date": "2019-10-13", "page_size": "20", "page": "2"}


def scripted(*steps: Any, **more: Any) -> ServerOptions:
    return ServerOptions(faults=FaultSettings(script={"2": list(steps)}, **more))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_status_fault_answers_with_that_status_then_the_page_is_served(start: Any, status: int) -> None:
    client = await start(scripted(str(status)))
    failed = await client.get("/events", params=PARAMS)
    assert failed.status == status
    assert (await failed.json())["error"]["code"] == "injected_fault"
    assert ("Retry-After" in failed.headers) == (status in {429, 503})
    assert len(await (await client.get("/events", params=PARAMS)).json()) == 20


@pytest.mark.parametrize(
    ("form", "header"), [("seconds", "3"), ("date", "Mon, 05 Jan 2026 10:00:04 GMT"), ("none", None)]
)
async def test_retry_after_takes_the_form_asked_for(start: Any, form: str, header: str | None) -> None:
    client = await start(scripted("429", retry_after=form, retry_after_sec=3))
    assert (await client.get("/events", params=PARAMS)).headers.get("Retry-After") == header


async def test_a_truncated_body_is_as_long_as_it_says_but_no_json(start: Any) -> None:
    client = await start(scripted("truncate"))
    response = await client.get("/events", params=PARAMS)
    body = await response.read()
    assert response.status == 200
    assert int(response.headers["Content-Length"]) == len(body) > 100
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


async def test_a_disconnect_ends_the_body_before_its_length(start: Any) -> None:
    client = await start(scripted("disconnect"))
    response = await client.get("/events", params=PARAMS)
    with pytest.raises(aiohttp.ClientPayloadError):
        await response.read()
    assert len(await (await client.get("/events", params=PARAMS)).json()) == 20


async def test_invalid_json_is_a_good_status_with_html(start: Any) -> None:
    client = await start(scripted("invalid_json"))
    response = await client.get("/events", params=PARAMS)
    assert (response.status, response.content_type) == (200, "text/html")


async def test_a_redirect_leads_to_the_same_page_of_another_host(start: Any) -> None:
    client = await start(scripted("redirect", redirect_to="http://other.test/"))
    response = await client.get("/events", params=PARAMS, allow_redirects=False)
    assert response.status == 307
    assert response.headers["Location"].startswith("http://other.test/events?")
    assert "page=2" in response.headers["Location"]


async def test_a_repeated_page_is_the_one_before(start: Any) -> None:
    client = await start(scripted("repeat"))
    first = await (await client.get("/events", params=PARAMS | {"page": "1"})).read()
    assert await (await client.get("/events", params=PARAMS)).read() == first
    assert await (await client.get("/events", params=PARAMS)).read() != first


async def test_a_slow_page_comes_late_and_whole(start: Any) -> None:
    client = await start(scripted("slow", slow_ms=150))
    began = time.monotonic()
    assert len(await (await client.get("/events", params=PARAMS)).json()) == 20
    assert time.monotonic() - began >= 0.15


async def test_latency_with_jitter_delays_every_page(start: Any) -> None:
    client = await start(ServerOptions(latency_ms=60, jitter_ms=10))
    began = time.monotonic()
    await client.get("/events", params=PARAMS)
    assert time.monotonic() - began >= 0.06


async def test_requests_above_the_rate_are_told_to_come_later(start: Any, clock: Any) -> None:
    client = await start(ServerOptions(rate_limit_per_sec=2))
    first = [(await client.get("/events", params=PARAMS)).status for _ in range(3)]
    clock.seconds += 1
    assert [*first, (await client.get("/events", params=PARAMS)).status] == [200, 200, 429, 200]


async def test_a_total_can_be_wrong_and_can_change(start: Any) -> None:
    faults = FaultSettings(total_offset=5, total_change_after_page=2, total_change_by=-2)
    client = await start(ServerOptions(shape=PageShape("data", total="field"), faults=faults))
    bodies = [await (await client.get("/events", params=PARAMS | {"page": str(n)})).json() for n in (1, 2, 3)]
    assert [body["total"] for body in bodies] == [100, 100, 98]


async def test_faults_are_set_and_cleared_at_run_time(start: Any) -> None:
    client = await start()

    async def status() -> int:
        response = await client.get("/events", params=PARAMS)
        return int(response.status)

    assert await status() == 200
    response = await client.post("/_emulator/faults", json={"script": {"2": ["500", "ok", "503"]}})
    assert (await response.json())["script"] == {"2": ["500", "ok", "503"]}
    assert [await status() for _ in range(4)] == [500, 200, 503, 200]
    await client.post("/_emulator/faults", json={"pct": {"502": 100}, "max_per_page": 1})
    assert [await status() for _ in range(2)] == [502, 200]
    await client.post("/_emulator/faults", json={})
    assert await status() == 200
    assert (await (await client.get("/_emulator/faults")).json())["pct"] == {}


@pytest.mark.parametrize("body", ["{", '{"pct":{"418":1}}', '{"pct":{"500":101}}', '{"script":{"2":["x"]}}', '{"a":1}'])
async def test_faults_that_make_no_sense_are_refused_and_change_nothing(start: Any, body: str) -> None:
    client = await start(scripted("500"))
    assert (await client.post("/_emulator/faults", data=body)).status == 400
    assert (await client.get("/events", params=PARAMS)).status == 500


async def test_a_client_that_retries_gets_the_whole_week_through_any_mix_of_faults(start: Any) -> None:
    pct: dict[FaultKind, float] = {
        "429": 10,
        "500": 10,
        "503": 10,
        "truncate": 10,
        "disconnect": 10,
        "invalid_json": 10,
    }
    client = await start(ServerOptions(faults=FaultSettings(pct=pct)))

    async def fetch(page: int) -> int:
        for _ in range(2):
            with suppress(json.JSONDecodeError, aiohttp.ClientError):
                response = await client.get("/events", params=PARAMS | {"page": str(page), "page_size": "5"})
                response.raise_for_status()
                return len(json.loads(await response.read()))
        response = await client.get("/events", params=PARAMS | {"page": str(page), "page_size": "5"})
        return len(await response.json())

    assert sum(await asyncio.gather(*(fetch(page) for page in range(1, 20)))) == 95
    assert (await (await client.get("/_emulator/stats")).json())["faults"].keys() == pct.keys()

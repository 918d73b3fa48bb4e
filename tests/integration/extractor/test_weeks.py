"""A week from any kind of API into the lake: nothing missing, nothing twice, every byte as served."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from libs.common.events.pages import RECORD_KEYS, split_page
from libs.common.failpoints import FailpointError, configure
from libs.common.state import StageStatus
from libs.emulators.events_api.generator import GeneratorOptions
from libs.emulators.events_api.pages import PageShape
from services.extractor.errors import ApiBusyError, ApiResponseError
from tests.integration.kits import RUN_ID

SHAPES = [
    *(PageShape(body=key, total="field") for key in RECORD_KEYS),
    *(PageShape(body=key, pagination="cursor") for key in RECORD_KEYS),
    PageShape(),
    PageShape(total="header"),
    PageShape(pagination="link"),
    PageShape(body="items", total="field", pagination="cursor"),
    PageShape(body="results", total="header", pagination="link"),
]


def records(extractor: Any) -> list[str]:
    return [text.decode() for _, body in extractor.pages() for text in split_page(body)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
async def test_a_week_comes_whole_and_in_order_from_every_kind_of_api(
    shop: Any, extractor: Any, shape: PageShape
) -> None:
    api = await shop(shape)
    await extractor.run(api, api_pagination=shape.pagination)
    assert records(extractor) == api.records()
    assert [message.part for message in extractor.announced()] == [0, 1, 2, 3]
    stage = await extractor.stage()
    assert (stage.status, stage.row_count, stage.parts_total) == (StageStatus.SUCCESS, 95, 4)
    assert stage.details["anomaly_count"] == 0
    assert all(times == 1 for times in (await api.requests()).values()), "no page is asked for twice"


@pytest.mark.parametrize("events", [0, 1, 9, 10, 11, 30, 100])
@pytest.mark.parametrize("shape", [PageShape(), PageShape(total="header"), PageShape(body="data", pagination="cursor")])
async def test_a_week_of_any_size_ends_where_it_ends(shop: Any, extractor: Any, shape: PageShape, events: int) -> None:
    api = await shop(shape, generator=GeneratorOptions(events=events))
    await extractor.run(api, api_pagination=shape.pagination)
    assert records(extractor) == api.records()
    assert (await extractor.stage()).row_count == events


async def test_an_api_that_serves_smaller_pages_than_asked_for_is_followed_to_the_end(
    shop: Any, extractor: Any
) -> None:
    api = await shop(PageShape(), max_page_size=7)
    await extractor.run(api, api_page_size=50)
    assert records(extractor) == api.records()


@pytest.mark.parametrize("retry_after", ["seconds", "date", "none"])
async def test_a_week_comes_whole_from_an_api_that_fails_in_every_way(
    shop: Any, extractor: Any, retry_after: str
) -> None:
    kinds = ("429", "500", "502", "503", "504", "truncate", "disconnect", "invalid_json", "slow")
    faults = {"pct": dict.fromkeys(kinds, 9), "slow_ms": 20, "retry_after": retry_after, "seed": 3}
    api = await shop(faults=faults, latency_ms=2, jitter_ms=10)
    await extractor.run(api)
    assert records(extractor) == api.records()
    stats = await api.stats()
    assert len(stats["faults"]) >= 5, "the test shows what it says"
    assert all(times == 1 for pages in stats["served_per_page"].values() for times in pages.values())


async def test_as_many_pages_are_in_flight_as_allowed_and_not_one_more(shop: Any, extractor: Any) -> None:
    api = await shop(generator=GeneratorOptions(events=400), latency_ms=30)
    await extractor.run(api, api_concurrency=3)
    assert (await api.stats())["concurrent_peak"] == 3


@pytest.mark.parametrize("pagination", ["page", "cursor", "link"])
async def test_a_retry_goes_on_after_the_last_recorded_part(shop: Any, extractor: Any, pagination: Any) -> None:
    api = await shop(PageShape(body="data", pagination=pagination), faults={"script": {"8": ["500"] * 4}})
    with pytest.raises(ApiBusyError):
        await extractor.run(api, api_pagination=pagination, api_concurrency=1)
    recorded_pages = await api.requests()
    await extractor.run(api, api_pagination=pagination, api_concurrency=1)
    assert records(extractor) == api.records()
    asked = await api.requests()
    assert {page: asked[page] - recorded_pages[page] for page in range(1, 7)} == dict.fromkeys(range(1, 7), 0)


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("point", ["after_work", "after_commit", "after_publish"])
async def test_a_crash_fetches_no_page_of_a_recorded_part_again(
    shop: Any, extractor: Any, request: pytest.FixtureRequest, point: str, part: int
) -> None:
    api = await shop(PageShape(body="data", pagination="cursor"))
    request.addfinalizer(lambda: configure(None))
    configure(f"{point}@part={part}:raise")
    with pytest.raises(FailpointError):
        await extractor.run(api, api_pagination="cursor")
    recorded = len(await extractor.kit.state.parts(RUN_ID, (await extractor.stage()).stage))
    await extractor.run(api, api_pagination="cursor")
    assert records(extractor) == api.records()
    asked = await api.requests()
    assert {page for page, times in asked.items() if times > 1 and page <= recorded * 3} == set()


async def test_a_page_served_twice_is_kept_as_served_and_told(shop: Any, extractor: Any) -> None:
    api = await shop(faults={"script": {"4": ["repeat"]}})
    await extractor.run(api)
    pages = dict(extractor.pages())
    assert pages[4] == pages[3]
    details = (await extractor.stage()).details
    assert "page 4 has the same content as page 3" in details["anomalies"]


async def test_a_total_that_changes_on_the_way_is_told_and_the_newest_one_counts(shop: Any, extractor: Any) -> None:
    api = await shop(faults={"total_change_after_page": 3, "total_change_by": 4})
    await extractor.run(api)
    details = (await extractor.stage()).details
    assert details["anomalies"] == [
        "page 4 reports a total of 99 where earlier pages said 95",
        "the API reported 99 events and served 95",
    ]
    assert details["api_total"] == 99


async def test_an_unknown_shape_ends_the_extraction_and_names_the_keys(shop: Any, extractor: Any) -> None:
    api = await shop(PageShape(body="payload", total="field"))
    with pytest.raises(ApiResponseError, match="found: payload, total"):
        await extractor.run(api)
    assert extractor.announced() == []


async def test_a_redelivery_of_a_finished_extraction_asks_for_nothing(shop: Any, extractor: Any) -> None:
    api = await shop()
    await extractor.run(api)
    before, parts = await api.requests(), extractor.announced()
    await extractor.run(api)
    assert await api.requests() == before
    assert extractor.announced() == parts


async def test_a_record_that_is_no_strict_json_reaches_the_lake_byte_for_byte(serve: Any, extractor: Any) -> None:
    body = b'\xef\xbb\xbf{"data": [{"price": NaN}, {"brand": "\xff"}, {"brand": "\\ud83d"}] }\n'

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    await extractor.run_at(await serve(answer), api_pagination="cursor")
    assert extractor.pages() == [(1, body)]
    assert (await extractor.stage()).row_count == 3

"""Pages kept in files: the same bytes, rendered once."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from aiohttp.test_utils import TestClient, TestServer

from libs.emulators.events_api.generator import GeneratorOptions
from libs.emulators.events_api.page_cache import PageCache
from libs.emulators.events_api.pages import PageShape
from libs.emulators.events_api.server import EventsApi, ServerOptions
from libs.emulators.events_api.source import GeneratedSource
from libs.emulators.events_api.span import Span

WEEK = GeneratorOptions(events=95)


class Worn(GeneratedSource):
    """A source that has nothing to give any more."""

    def records(self, span: Span, first: int, stop: int) -> list[str]:
        raise AssertionError(f"asked for {first} to {stop} of {span} again")


async def served(source: GeneratedSource, cache: PageCache | None, options: ServerOptions, pages: int) -> list[bytes]:
    async with TestClient(TestServer(EventsApi(source, options, cache=cache).application())) as client:
        query = "start_date=2019-10-07&end_date=2019-10-13&page_size=30"
        return [await (await client.get(f"/events?{query}&page={page}")).read() for page in range(1, pages + 1)]


def never() -> NoReturn:
    raise AssertionError("rendered again")


async def test_a_cached_week_has_the_bytes_of_a_generated_one_also_after_a_restart(tmp_path: Path) -> None:
    options = ServerOptions(shape=PageShape("data", "field"))
    generated = await served(GeneratedSource(WEEK), None, options, 5)
    assert await served(GeneratedSource(WEEK), PageCache(tmp_path, WEEK), options, 5) == generated
    assert await served(Worn(WEEK), PageCache(tmp_path, WEEK), options, 5) == generated


def test_other_contents_never_meet_in_one_folder(tmp_path: Path) -> None:
    assert PageCache(tmp_path, "one").body("1.json", lambda: b"one") == b"one"
    assert PageCache(tmp_path, "two").body("1.json", lambda: b"two") == b"two"
    assert PageCache(tmp_path, "one").body("1.json", never) == b"one"


def test_a_page_that_fails_to_render_is_not_kept(tmp_path: Path) -> None:
    cache = PageCache(tmp_path, "one")
    with pytest.raises(AssertionError):
        cache.body("1.json", never)
    assert cache.body("1.json", lambda: b"good") == b"good"

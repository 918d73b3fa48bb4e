"""The events API in this process, a client for it whose waits pass in no time, and an extractor on both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from libs.common.messages import EventsExtracted, RunOptions, WeekRequested, decode
from libs.common.outcome import Outcome
from libs.common.service import Kit
from libs.common.settings import load_settings
from libs.common.state import Stage, StageRow
from libs.emulators.events_api.faults import FaultSettings
from libs.emulators.events_api.generator import GeneratedWeek, GeneratorOptions
from libs.emulators.events_api.pages import PageShape
from libs.emulators.events_api.server import EventsApi, ServerOptions
from libs.emulators.events_api.source import GeneratedSource
from libs.emulators.events_api.span import Span
from services.extractor.client import ApiClient
from services.extractor.handlers import Deps, handle
from services.extractor.settings import ExtractorSettings
from tests.integration.kits import IDS, REQUESTED_AT, RUN_ID, WEEK, RecordingPublisher, open_kit

SPAN = Span(WEEK.start, WEEK.end)
KEY = "the-key"
WITH_TOTAL = PageShape(body="data", total="field")
WEEK_OF_95 = GeneratorOptions(events=95)
NO_OPTIONS = RunOptions()


@dataclass
class HastyClock:
    """Whoever sleeps wakes at once, as much later as was asked for."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime(2026, 1, 5, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@dataclass
class Shop:
    """One running API, and what it counted."""

    server: TestServer
    generator: GeneratorOptions

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    async def stats(self) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/_emulator/stats") as answer:
            return await answer.json()  # type: ignore[no-any-return] # one JSON object

    async def requests(self) -> dict[int, int]:
        """Page → how often it was asked for."""
        stats = await self.stats()
        return {int(page): times for page, times in stats["requests_per_page"].get(str(SPAN), {}).items()}

    async def break_down(self, **faults: Any) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_emulator/faults", json=faults) as answer,
        ):
            answer.raise_for_status()

    def records(self) -> list[str]:
        """The JSON texts of the week's records, from the generator itself."""
        return GeneratedWeek(self.generator, SPAN).records(0, self.generator.count(SPAN))


OpenShop = Callable[..., Awaitable[Shop]]


@pytest.fixture
async def shop() -> AsyncIterator[OpenShop]:
    """Start an API: `shape` is its pages', `faults` and `generator` as their classes take them."""
    async with AsyncExitStack() as stack:

        async def start(
            shape: PageShape = WITH_TOTAL,
            *,
            faults: dict[str, Any] | None = None,
            generator: GeneratorOptions = WEEK_OF_95,
            **options: Any,
        ) -> Shop:
            given = ServerOptions(shape=shape, api_key=KEY, faults=FaultSettings(**(faults or {})), **options)
            server = TestServer(EventsApi(GeneratedSource(generator), given).application())
            await stack.enter_async_context(server)
            return Shop(server, generator)

        yield start


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]]:
    """Serve `GET /events` by a handler of the test's own; its base URL."""
    async with AsyncExitStack() as stack:

        async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
            app = web.Application()
            app.router.add_get("/events", handler)
            server = await stack.enter_async_context(TestServer(app))
            return str(server.make_url("")).rstrip("/")

        yield start


def settings_for(url: str, **more: Any) -> ExtractorSettings:
    values = {"api_page_size": 10, "part_max_events": 30, "api_key": KEY, **more}
    return load_settings(
        ExtractorSettings, _env_file=None, state_url="sqlite://", lake_url="file:///lake", api_base_url=url, **values
    )


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


@pytest.fixture
async def client(clock: HastyClock) -> AsyncIterator[Callable[..., Awaitable[ApiClient]]]:
    """Open a client for a base URL, with further settings."""
    async with AsyncExitStack() as stack:

        async def connect(url: str, **more: Any) -> ApiClient:
            return await stack.enter_async_context(ApiClient(settings_for(url, **more), clock))

        yield connect


@dataclass
class Extractor:
    """One extractor, its lake and what it announced."""

    kit: Kit
    publisher: RecordingPublisher
    folder: Path
    clock: HastyClock

    async def run(self, shop: Shop, **more: Any) -> Outcome:
        """Handle a request for the week; see `run_at`."""
        return await self.run_at(shop.url, **more)

    async def run_at(
        self, url: str, *, run_id: str = RUN_ID, options: RunOptions = NO_OPTIONS, **settings: Any
    ) -> Outcome:
        """Handle a request for the week from the API at `url`."""
        request = WeekRequested(
            **{**IDS, "run_id": run_id}, requested_by="test", requested_at=REQUESTED_AT, options=options
        )
        given = settings_for(url, **settings)
        async with ApiClient(given, self.clock) as source:
            return await handle(request, Deps(kit=self.kit, settings=given, source=source))

    def announced(self) -> list[EventsExtracted]:
        messages = [decode(outgoing.body) for outgoing in self.publisher.sent]
        return [message for message in messages if isinstance(message, EventsExtracted)]

    def pages(self) -> list[tuple[int, bytes]]:
        """Number and body of every page of the announced parts, in order; a part announced again is the same part."""
        found: list[tuple[int, bytes]] = []
        for _, message in sorted({message.part: message for message in self.announced()}.items()):
            table = pq.read_table(self.folder / "lake" / message.raw.url.split("/lake/")[1])
            found += zip(table["page"].to_pylist(), table["body"].to_pylist(), strict=True)
        return found

    async def stage(self, run_id: str = RUN_ID) -> StageRow:
        stage = await self.kit.state.get_stage(run_id, Stage.EXTRACT)
        assert stage is not None
        return stage


@pytest.fixture
async def extractor(tmp_path: Path, clock: HastyClock) -> AsyncIterator[Extractor]:
    publisher = RecordingPublisher()
    async with open_kit(tmp_path, publisher) as kit:
        yield Extractor(kit, publisher, tmp_path, clock)

"""A running server on a free loopback port, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from libs.emulators.events_api.generator import GeneratorOptions
from libs.emulators.events_api.server import EventsApi, ServerOptions
from libs.emulators.events_api.source import GeneratedSource

Start = Callable[..., Awaitable["TestClient[aiohttp.web.Request, aiohttp.web.Application]"]]


class Clock:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 5, 10, 0, 0, 400_000, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def start(clock: Clock) -> AsyncIterator[Start]:
    """Start a server with the options given over a week of 95 events; all are stopped at the end."""
    clients: list[TestClient[aiohttp.web.Request, aiohttp.web.Application]] = []

    async def start_one(
        options: ServerOptions | None = None, generator: GeneratorOptions | None = None
    ) -> TestClient[aiohttp.web.Request, aiohttp.web.Application]:
        source = GeneratedSource(generator or GeneratorOptions(events=95))
        api = EventsApi(source, options or ServerOptions(), monotonic=clock.monotonic, now=clock.now)
        clients.append(TestClient(TestServer(api.application())))
        await clients[-1].start_server()
        return clients[-1]

    yield start_one
    for client in clients:
        await client.close()

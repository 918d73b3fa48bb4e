"""The pipeline's own processes for a bench to measure: services as they are, emulators that cost little.

One events API serves everybody from rendered pages; every measured run has a folder, a broker and a database of its
own.
"""

from __future__ import annotations

import asyncio
import http.client
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from libs.cli.processes import Child, Children, free_port
from libs.cli.publishing import week_request
from libs.common.bus.envelope import Outgoing
from libs.common.bus.publisher import ServiceBusPublisher
from libs.common.bus.servicebus import connect
from libs.common.messages import RunOptions, WeekRequested
from libs.common.settings import CommonSettings, load_settings
from libs.common.state import Stage, StageRow, StageStatus, State, open_state
from libs.common.week import Week

API_KEY = "bench"  # of an emulator on loopback, so no secret
PAGE_SIZE = 1000
BAD_PCT = 1
SEED = 7
MONDAY = date(2019, 10, 7)
POLL_SEC = 0.25


class BenchError(Exception):
    """A measured run did not end as it should."""


@dataclass(frozen=True, slots=True)
class EventsApi:
    """A running events API with so many events a week."""

    base_url: str
    events: int
    pid: int

    def render(self) -> None:
        """Ask for every page once, so that from now on each is read and none is made."""
        place = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(place.netloc, timeout=60)
        week = f"start_date={MONDAY}&end_date={MONDAY + timedelta(days=6)}&page_size={PAGE_SIZE}"
        for page in range(1, self.events // PAGE_SIZE + 2):
            connection.request("GET", f"/events?{week}&page={page}", headers={"Authorization": f"Bearer {API_KEY}"})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise BenchError(f"The events API answered {response.status} to page {page}.")
        connection.close()


@asynccontextmanager
async def events_api(folder: Path, events: int) -> AsyncIterator[EventsApi]:
    """An events API whose pages are rendered; it ends with the context."""
    children = Children(_ignore)
    child = _emulator(
        "events_api", folder, "--events", str(events), "--bad-pct", str(BAD_PCT), "--seed", str(SEED),
        "--api-key", API_KEY, "--cache", str(folder / "pages"),
    )  # fmt: skip
    try:
        await children.start(child)
        api = EventsApi(child.ready["base_url"], events, _pid(child))
        await asyncio.to_thread(api.render)
        yield api
    finally:
        await children.stop()


class Stack:
    """A broker, a database, a lake in `folder`, and the services that are started. Use `open_stack`."""

    def __init__(self, folder: Path, api: EventsApi, settings: dict[str, str]) -> None:
        self._folder = folder
        self._children = Children(_ignore)
        self._services: list[Child] = []
        self._api = api
        self._bus = _emulator("servicebus", folder, "--data", str(folder / "bus"))
        self._environment = {
            "STATE_URL": f"sqlite:///{folder / 'state.db'}",
            "LAKE_URL": (folder / "lake").as_uri(),
            "API_BASE_URL": api.base_url,
            "API_KEY": API_KEY,
            "API_PAGE_SIZE": str(PAGE_SIZE),
            "RETRY_DELAYS_SEC": "1,2,4",
            "HEALTH_HOST": "127.0.0.1",
            **settings,
        }
        self._stack = AsyncExitStack()
        self._publisher: ServiceBusPublisher
        self.run_id = ""

    @property
    def lake(self) -> Path:
        """The root of the lake."""
        return self._folder / "lake"

    @property
    def state(self) -> State:
        """A connection of the caller's own to the state tables."""
        return open_state(self._environment["STATE_URL"])

    async def start(self, *services: str) -> None:
        """Start these services; returns when all are ready."""
        children = [self._service(name) for name in services]
        await self._children.start(*children)
        self._services += children

    async def request_week(self) -> datetime:
        """Publish `week.requested` over a connection that is open, like those of the services; the moment before."""
        begun_at = datetime.now(UTC)
        request = week_request("bench", Week.of(MONDAY), RunOptions(), begun_at)
        self.run_id = request.run_id
        await self._publisher.publish(Outgoing.of(request))
        return begun_at

    async def finished(self, stage: Stage, within_sec: float) -> StageRow:
        """The stage's row as soon as it has ended. Raises BenchError where it failed, TimeoutError."""
        state = self.state
        try:
            async with asyncio.timeout(within_sec):
                while True:
                    row = await state.get_stage(self.run_id, stage)
                    if row is not None and row.status is StageStatus.SUCCESS:
                        return row
                    run = await state.get_run(self.run_id)
                    if run is not None and run.error is not None:
                        raise BenchError(f"{stage} ended as {run.status}: {run.error.message}")
                    await asyncio.sleep(POLL_SEC)
        finally:
            await state.aclose()

    def pids(self) -> dict[int, str]:
        """The processes that run now, by name."""
        running = {_pid(child): child.name for child in [self._bus, *self._services] if child.process}
        return {self._api.pid: "events_api (emulator)", **running}

    async def __aenter__(self) -> Stack:
        self.lake.mkdir(parents=True)
        self._stack.push_async_callback(self._children.stop)
        await self._children.start(self._bus)
        connection_string = self._bus.ready["connection_string"]
        self._environment["SERVICEBUS_CONNECTION_STRING"] = connection_string
        settings = load_settings(CommonSettings, _env_file=None, servicebus_connection_string=connection_string)
        bus = connect(settings)
        self._stack.push_async_callback(bus.aclose)
        self._publisher = bus.publisher
        await self._publisher.warm([WeekRequested.topic])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _service(self, name: str) -> Child:
        port = free_port()
        own = {"HEALTH_PORT": str(port), "SCRATCH_DIR": str(self._folder / "scratch" / name)}
        return Child(
            name=name,
            module=f"services.{name}",
            arguments=[],
            log_path=self._folder / f"{name}.log",
            env=_system_environment() | self._environment | own,
            health_port=port,
        )


def _emulator(name: str, folder: Path, *arguments: str) -> Child:
    folder.mkdir(parents=True, exist_ok=True)
    return Child(
        name=f"{name} (emulator)",
        module=f"libs.emulators.{name}",
        arguments=["--port", str(free_port()), *arguments],
        log_path=folder / f"{name}.log",
        env=_system_environment(),
        announces=True,
    )


def _system_environment() -> dict[str, str]:
    """What a Python process needs to start, and no setting of a service."""
    needed = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in needed if name in os.environ}


def _pid(child: Child) -> int:
    assert child.process is not None, "it was started"
    return child.process.pid


def _ignore(_: str) -> None:
    """Nothing that these processes say is for the person at the bench."""

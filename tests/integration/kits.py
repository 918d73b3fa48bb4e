"""A service's kit for tests: a folder for a lake, SQLite for state, a publisher that writes down what it is given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from aiohttp import web

from libs.common.alerts import Alerts
from libs.common.bus.envelope import Outgoing
from libs.common.clock import SystemClock
from libs.common.lake import Lake, open_lake
from libs.common.messages import WeekRequested
from libs.common.metrics import Metrics
from libs.common.outbox import Outbox
from libs.common.service import Kit
from libs.common.settings import ServiceSettings, load_settings
from libs.common.state import Run, migrate, open_state
from libs.common.week import Week
from libs.emulators.datalake.account import Account
from libs.emulators.datalake.server import Server

RUN_ID = "run-1"
WEEK = Week(date(2019, 9, 30), date(2019, 10, 6))
REQUESTED_AT = datetime(2019, 10, 7, 5, 30, tzinfo=UTC)
IDS: dict[str, Any] = {
    "run_id": RUN_ID,
    "pipeline_name": "p",
    "week_start": WEEK.start,
    "week_end": WEEK.end,
    "correlation_id": "c",
}
"""What all messages of the run carry."""


@dataclass
class RecordingPublisher:
    """Implements `Publisher`; fails the next `failures` times as a broker out of reach would."""

    sent: list[Outgoing] = field(default_factory=list)
    failures: int = 0

    async def publish(self, *messages: Outgoing, not_before: datetime | None = None) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the broker is away")
        self.sent.extend(messages)


@asynccontextmanager
async def open_adls_lake(folder: Path) -> AsyncIterator[Lake]:
    """A lake in an emulated storage account inside this process, whose files are below `folder`."""
    account = Account(folder / "account")
    account.ensure_container("lake")
    runner = web.AppRunner(Server(account).application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    secret = account.connection_string("127.0.0.1", runner.addresses[0][1])
    lake = open_lake(f"abfss://lake@{account.name}.dfs.core.windows.net/retl", connection_string=secret)
    yield lake
    await lake.aclose()
    await runner.cleanup()
    account.close()


@cache
def empty_tables() -> bytes:
    """An SQLite file with the state tables: made once and copied, because making them takes longer than many a test."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


@asynccontextmanager
async def open_kit(folder: Path, publisher: RecordingPublisher) -> AsyncIterator[Kit]:
    """A kit whose lake is `folder`/lake; used twice on one folder it is a second replica."""
    state_url = f"sqlite:///{folder / 'state.db'}"
    lake_url = (folder / "lake").as_uri()
    settings = load_settings(ServiceSettings, _env_file=None, state_url=state_url, lake_url=lake_url)
    if not (folder / "state.db").exists():
        (folder / "state.db").write_bytes(empty_tables())
    state, lake, clock = open_state(state_url), open_lake(lake_url), SystemClock()
    log, metrics, scratch = structlog.get_logger(), Metrics("test"), folder / "scratch"
    scratch.mkdir(exist_ok=True)
    try:
        yield Kit(
            settings=settings,
            state=state,
            lake=lake,
            outbox=Outbox(publisher, state),
            clock=clock,
            alerts=Alerts(log=log, clock=clock, metrics=metrics, webhook=None),
            log=log,
            scratch=scratch,
            metrics=metrics,
        )
    finally:
        await state.aclose()
        await lake.aclose()


async def open_run(kit: Kit) -> Run:
    """The run that RUN_ID names."""
    request = WeekRequested(**IDS, requested_by="test", requested_at=REQUESTED_AT)
    return await kit.state.open_run(request, REQUESTED_AT)

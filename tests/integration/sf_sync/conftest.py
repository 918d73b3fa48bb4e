"""The sync with everything real: the Salesforce emulator over HTTP, a folder lake, SQLite state tables."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from libs.common.blobs import store
from libs.common.clock import SystemClock
from libs.common.lake import FolderLake, paths
from libs.common.messages import BlobRef, GatePassed, RunOptions, WeekRequested
from libs.common.outcome import Outcome
from libs.common.settings import load_settings
from libs.common.state import RunStatus, Stage, StageRow, State, open_state
from libs.common.synclog import SyncLog
from libs.common.week import Week
from libs.emulators.salesforce.__main__ import command_line, options_of
from libs.emulators.salesforce.server import Options, served
from services.sf_sync.composition import open_session
from services.sf_sync.handlers import handle
from services.sf_sync.mapping import load_mapping
from services.sf_sync.settings import SfSyncSettings
from services.sf_sync.source import SIGNALS_SCHEMA
from services.sf_sync.tools import Tools
from tests.integration.kits import empty_tables

OBJECT = "Customer_Weekly_Metric__c"
PIPELINE = "ecommerce_customer_weekly"
WEEK = Week.of(date(2026, 1, 5))
REQUESTED_AT = datetime(2026, 1, 12, 6, tzinfo=UTC)
Row = dict[str, Any]


class Emulator:
    """The emulator on a thread of this process: a process of its own, which it is elsewhere, costs half a second."""

    def __init__(self, *arguments: str) -> None:
        options = options_of(command_line().parse_args(["--port", "0", *arguments]))
        ready: Future[str] = Future()
        self._thread = Thread(target=lambda: asyncio.run(self._serve(options, ready)), name="salesforce")
        self._thread.start()
        self.url = ready.result(20)

    async def _serve(self, options: Options, ready: Future[str]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with served(options) as address:
            ready.set_result(address)
            await self._stop.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def faults(self, *faults: Mapping[str, Any]) -> None:
        requests.post(f"{self.url}/_emulator/faults", json=list(faults), timeout=5).raise_for_status()

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"{self.url}/_emulator/stats", timeout=5).json()
        return found

    def calls(self, kind: str) -> int:
        return int(self.stats()["calls"].get(kind, 0))

    def attempts(self) -> dict[str, int]:
        """How often each external id was processed."""
        answer = requests.get(f"{self.url}/_emulator/attempts/{OBJECT}", timeout=10)
        return {line["external_id"]: line["times"] for line in map(json.loads, answer.text.splitlines())}

    def records(self) -> dict[str, Row]:
        """All records by external id."""
        answer = requests.get(f"{self.url}/_emulator/records/{OBJECT}", timeout=30)
        return {line["External_Signal_Id__c"]: line for line in map(json.loads, answer.text.splitlines())}


@pytest.fixture
def start_emulator() -> Iterator[Callable[..., Emulator]]:
    """Starts emulators that end with the test."""
    started: list[Emulator] = []

    def start(*arguments: str) -> Emulator:
        started.append(Emulator(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def emulator(start_emulator: Callable[..., Emulator]) -> Emulator:
    return start_emulator()


def signals(number: int, **changes: Any) -> list[Row]:
    """`number` rows of the week; `changes` apply to all."""
    return [signal(f"c{index:06d}", **changes) for index in range(number)]


def signal(customer: str, **changes: Any) -> Row:
    return {
        "external_signal_id": f"{customer}|{WEEK.start}",
        "external_customer_id": customer,
        "week_start": WEEK.start,
        "week_end": WEEK.end,
        "total_spend_week": Decimal("120.50"),
        "orders_week": 2,
        "views_week": 10,
        "carts_week": 3,
        "sessions_week": 4,
        "active_days_week": 2,
        "avg_order_value_week": Decimal("60.25"),
        "last_event_at": datetime(2026, 1, 9, 12, 30, 15, 123456, tzinfo=UTC),
        "top_category": 'electronics, "small"\r\nand more',
        "top_brand": "Ünïcode",
        "customer_tier": "silver",
        "refreshed_at": REQUESTED_AT,
    } | changes


@dataclass
class Bench:
    """One lake, one set of state tables, one org; runs are made and handled here."""

    folder: Path
    lake: FolderLake
    state: State
    settings: SfSyncSettings
    emulator: Emulator

    @asynccontextmanager
    async def copy(self, name: str) -> AsyncIterator[Bench]:
        """The same lake and state tables once more, for what may happen to them only once; the org is shared."""
        folder = self.folder / name
        await asyncio.to_thread(shutil.copytree, self.folder / "lake", folder / "lake")
        await asyncio.to_thread(backup, self.folder / "state.db", folder / "state.db")
        state = open_state(f"sqlite:///{folder / 'state.db'}")
        try:
            yield replace(self, folder=folder, lake=FolderLake(folder / "lake"), state=state)
        finally:
            await state.aclose()

    @property
    def log(self) -> SyncLog:
        return SyncLog(self.lake, self.folder)

    def tools(self, **settings: Any) -> Tools:
        """As a freshly started service has them."""
        chosen = self.settings.model_copy(update=settings)
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        return Tools(
            settings=chosen,
            state=self.state,
            lake=self.lake,
            clock=SystemClock(),
            scratch=scratch,
            session=open_session(chosen),
            mapping=load_mapping(chosen.sf_mapping_file),
        )

    async def passed(self, run_id: str, rows: list[Row], *, force: bool = False, full_sync: bool = False) -> GatePassed:
        """A run that has just passed the gate with these signals; a later call is a later run."""
        earlier = await self.state.runs(PIPELINE, WEEK)
        requested_at = REQUESTED_AT + timedelta(hours=len(earlier))
        request = WeekRequested(
            run_id=run_id,
            pipeline_name=PIPELINE,
            week_start=WEEK.start,
            week_end=WEEK.end,
            correlation_id=run_id,
            requested_by="test",
            requested_at=requested_at,
            options=RunOptions(force=force),
        )
        await self.state.open_run(request, requested_at)
        await self.state.start_stage(run_id, Stage.QUALITY_GATE, requested_at)
        await self.state.complete_gate(
            run_id,
            requested_at,
            status=RunStatus.SUCCESS,
            rows_output=len(rows),
            rows_rejected=0,
            reject_rate_pct=Decimal(0),
        )
        local = self.folder / f"{run_id}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=SIGNALS_SCHEMA), local)
        ref = await store(self.lake, local, paths.signals_file(WEEK.start, WEEK.end), len(rows))
        return self.message(run_id, ref, full_sync=full_sync)

    def message(self, run_id: str, ref: BlobRef, *, full_sync: bool) -> GatePassed:
        return GatePassed(
            run_id=run_id,
            pipeline_name=PIPELINE,
            week_start=WEEK.start,
            week_end=WEEK.end,
            correlation_id=run_id,
            signals=ref,
            run_status="SUCCESS",
            checks=replace_rows(ref),
            full_sync=full_sync,
        )

    async def handle(self, message: GatePassed, **settings: Any) -> Outcome:
        """Handle it as a freshly started service would."""
        tools = self.tools(**settings)
        try:
            return await handle(message, tools)
        finally:
            await asyncio.to_thread(tools.session.close)

    async def synced(self, run_id: str, rows: list[Row], *, force: bool = False, **options: Any) -> dict[str, Any]:
        """Run a week and sync it; the stage's details."""
        full_sync = options.pop("full_sync", False)
        await self.handle(await self.passed(run_id, rows, force=force, full_sync=full_sync), **options)
        return (await self.stage(run_id)).details

    async def stage(self, run_id: str) -> StageRow:
        found = await self.state.get_stage(run_id, Stage.SALESFORCE_SYNC)
        assert found is not None
        return found


def backup(database: Path, target: Path) -> None:
    """Copy a database that is open, what is still in its log with it."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copied:
        source.backup(copied)


def replace_rows(ref: BlobRef) -> BlobRef:
    """A second reference where a message needs one that this service does not read."""
    return BlobRef(url=ref.url, sha256=ref.sha256, size_bytes=ref.size_bytes, rows=0)


@pytest.fixture
async def bench(tmp_path: Path, emulator: Emulator) -> AsyncIterator[Bench]:
    (tmp_path / "state.db").write_bytes(empty_tables())
    state = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield Bench(
        folder=tmp_path,
        lake=FolderLake(tmp_path / "lake"),
        state=state,
        settings=sync_settings(emulator.url),
        emulator=emulator,
    )
    await state.aclose()


def sync_settings(url: str, **changes: Any) -> SfSyncSettings:
    """Waits that suit a test; Bulk for everything unless a test says otherwise."""
    values: dict[str, Any] = {
        "state_url": "sqlite://",
        "lake_url": "file:///lake",
        "sf_login_url": url,
        "sf_client_id": "retl-demo",
        "sf_client_secret": "retl-demo-secret",
        "sf_collections_below": 0,
        "sf_poll_first_sec": 0.02,
        "sf_poll_max_sec": 0.2,
        "sf_row_retry_wait_sec": 0.01,
        "sf_http_retries": 0,
    }
    return load_settings(SfSyncSettings, _env_file=None, **(values | changes))


@pytest.fixture
def make() -> Any:
    """Builders of rows: `make.signals(n)`, `make.signal(customer)`."""
    return Builders


class Builders:
    signals = staticmethod(signals)
    signal = staticmethod(signal)
    week = WEEK
    replace = staticmethod(replace)
    settings = staticmethod(sync_settings)

"""The chain from the request of a week to its publication, in this process, on a lake of each kind."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp.test_utils import TestServer

from libs.common.events.report import Report
from libs.common.lake import paths
from libs.common.messages import DataLoaded, EventsExtracted, EventsValidated, WeekRequested, decode
from libs.common.processes import Processes
from libs.common.service import Kit
from libs.common.settings import load_settings
from libs.common.state import Run
from libs.common.week import Week
from libs.emulators.events_api.server import EventsApi, ServerOptions
from libs.emulators.events_api.source import Source
from services.extractor import handlers as extractor
from services.extractor.client import ApiClient
from services.extractor.settings import ExtractorSettings
from services.gate import handlers as gate
from services.gate.rules import load_rules
from services.gate.settings import GateSettings
from services.loader import handlers as loader
from services.loader.adapters import Merger
from services.loader.merge import merge_events, merge_rejects, read_facts
from services.validator import handlers as validator
from services.validator.adapters import PartFiles
from services.validator.files import validate_files
from tests.integration.kits import IDS, REQUESTED_AT, RUN_ID, WEEK, RecordingPublisher, open_adls_lake, open_kit

GATE_SETTINGS = load_settings(
    GateSettings,
    _env_file=None,
    state_url="sqlite://",
    lake_url="file:///lake",
    gate_keep_scratch=True,
    min_success_rate_pct=0,
    reject_threshold_pct=100,
)


class StillClock:
    """It is always the same moment, and whoever waits has waited."""

    def now(self) -> datetime:
        return datetime(2026, 1, 5, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        return None


class LocalMerger(Merger):
    """Merges in this process."""

    async def merge_events(self, sources: Any, target: Path) -> None:
        merge_events(sources, target)

    async def merge_rejects(self, sources: Any, target: Path) -> None:
        merge_rejects(sources, target)

    async def read_facts(self, path: Path) -> Any:
        return read_facts(path)


async def _validate(files: PartFiles, week: Week, ingested_at: datetime) -> Report:
    return validate_files(files.raw, files.valid, files.rejects, week, ingested_at)


@dataclass
class Chain:
    """Four services on one lake, one after the other."""

    kit: Kit
    publisher: RecordingPublisher

    async def run(self, source: Source, options: ServerOptions, **settings: Any) -> Run:
        """Take the week that the API serves to its publication."""
        async with TestServer(EventsApi(source, options).application()) as server:
            given = load_settings(
                ExtractorSettings,
                _env_file=None,
                state_url="sqlite://",
                lake_url="file:///lake",
                api_base_url=str(server.make_url("")).rstrip("/"),
                api_pagination=options.shape.pagination,
                **settings,
            )
            async with ApiClient(given, self.kit.clock) as client:
                request = WeekRequested(**IDS, requested_by="test", requested_at=REQUESTED_AT)
                await extractor.handle(request, extractor.Deps(kit=self.kit, settings=given, source=client))
        validating = validator.Deps(kit=self.kit, validate=_validate)
        for extracted in self._sent(EventsExtracted):
            await validator.handle(extracted, validating)
        loading = loader.Deps(kit=self.kit, merger=LocalMerger(Processes(1)), most_records=500)
        for validated in self._sent(EventsValidated):
            await loader.handle(validated, loading)
        rules = load_rules(GATE_SETTINGS.gate_rules_file, GATE_SETTINGS)
        for loaded in self._sent(DataLoaded):
            await gate.handle(loaded, gate.Deps(kit=self.kit, settings=GATE_SETTINGS, rules=rules))
        run = await self.kit.state.get_run(RUN_ID)
        assert run is not None
        return run

    def _sent(self, kind: type[Any]) -> list[Any]:
        messages = [decode(outgoing.body) for outgoing in self.publisher.sent]
        return [message for message in messages if isinstance(message, kind)]

    async def rows(self, directory: str) -> list[dict[str, Any]]:
        """The rows of every Parquet file below a directory of the lake."""
        found: list[dict[str, Any]] = []
        for info in await self.kit.lake.list(directory):
            async with self.kit.lake.local_copy(info.path, self.kit.scratch) as local:
                found += pq.read_table(local).to_pylist() if info.path.endswith(".parquet") else []
        return found

    async def events(self) -> list[dict[str, Any]]:
        return await self.rows(paths.curated_events_dir(WEEK.start, WEEK.end))

    async def rejects(self) -> list[dict[str, Any]]:
        return await self.rows(paths.curated_rejects_dir(WEEK.start, WEEK.end))

    async def signals(self) -> list[dict[str, Any]]:
        return await self.rows(paths.signals_dir(WEEK.start, WEEK.end))

    async def digests(self) -> dict[str, str]:
        """Path → sha256 of every file in the lake."""
        lake = self.kit.lake
        return {info.path: hashlib.sha256(await lake.get_bytes(info.path)).hexdigest() for info in await lake.list("")}


@asynccontextmanager
async def _chain(folder: Path) -> AsyncIterator[Chain]:
    await asyncio.to_thread(folder.mkdir)
    publisher = RecordingPublisher()
    async with open_kit(folder, publisher) as kit:
        yield Chain(replace(kit, clock=StillClock()), publisher)


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    """On a folder."""
    async with _chain(tmp_path / "on-a-folder") as chain:
        yield chain


@pytest.fixture
async def chain_on_adls(tmp_path: Path) -> AsyncIterator[Chain]:
    """On an emulated storage account."""
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(_chain(tmp_path / "on-adls"))
        lake = await stack.enter_async_context(open_adls_lake(tmp_path))
        yield replace(chain, kit=replace(chain.kit, lake=lake))

"""The gate on real adapters: SQLite for state, a folder or the ADLS emulator for a lake, a bus that writes down."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.blobs import url_of
from libs.common.events.schema import EVENT_SCHEMA, REJECT_SCHEMA
from libs.common.lake import Lake, paths
from libs.common.manifest import LoadManifest, StagedFile, encode_manifest
from libs.common.messages import BlobRef, DataLoaded, GatePassed, RunOptions, WeekRequested, decode
from libs.common.outcome import Outcome
from libs.common.service import Kit
from libs.common.settings import load_settings
from libs.common.state import Run, Stage, StageRow, StageStatus
from libs.common.week import Week
from services.gate.handlers import Deps, handle
from services.gate.rules import load_rules
from services.gate.settings import GateSettings
from tests.integration.kits import RecordingPublisher, open_adls_lake, open_kit

PIPELINE = "p"
WEEK = Week.of(date(2026, 1, 5))
NULLABLE_EVENTS = pa.schema([column.with_nullable(True) for column in EVENT_SCHEMA])
"""So that a week can be staged that breaks the rules."""
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Staged:
    """What the loader left of a week, and what the stages before it say; None: as the events tell."""

    events: Sequence[Row]
    rejects: int = 0
    rows_fetched: int | None = None
    api_total: int | None = None
    lie_about_sha256: bool = False
    files: int = 1


@dataclass
class Gate:
    """One lake, one set of state tables; weeks are staged and handled here, each as a run of its own."""

    kit: Kit
    publisher: RecordingPublisher

    def event(self, week: Week = WEEK, day: int = 0, **changes: Any) -> Row:
        values: Row = dict.fromkeys(EVENT_SCHEMA.names)
        values |= {
            "event_time": week.opens_at + timedelta(days=day, hours=1),
            "event_type": "view",
            "brand": "acme",
            "user_id": "u1",
            "user_session": "s1",
            "price": Decimal("10.0000"),
            "batch_week_start": week.start,
            "batch_week_end": week.end,
            "ingested_at": requested_at(week),
        }
        return values | changes

    def whole_week(self, week: Week = WEEK, **changes: Any) -> list[Row]:
        """One event a day of which no rule has anything to say."""
        kinds = ("view", "cart", "purchase", "view", "view", "view", "view")
        return [
            self.event(week, day, **{"event_type": kind, "user_id": f"u{day}", **changes})
            for day, kind in enumerate(kinds)
        ]

    async def staged(self, run_id: str, staged: Staged, week: Week = WEEK, **options: bool) -> DataLoaded:
        """Open a run and put the week where the loader would; the message that says so."""
        kit = self.kit
        request = WeekRequested(
            run_id=run_id,
            pipeline_name=PIPELINE,
            week_start=week.start,
            week_end=week.end,
            correlation_id=run_id,
            requested_by="test",
            requested_at=requested_at(week),
            options=RunOptions(**options),
        )
        now = kit.clock.now()
        await kit.state.open_run(request, now)
        manifest = await self._stage_files(run_id, staged, week)
        fetched = (
            staged.rows_fetched if staged.rows_fetched is not None else manifest.rows_valid + manifest.rows_rejected
        )
        api_total = staged.api_total if staged.api_total is not None else fetched
        await kit.state.start_stage(run_id, Stage.EXTRACT, now)
        await kit.state.record_part(run_id, Stage.EXTRACT, 0, now, row_count=fetched)
        await kit.state.finish_stage(
            run_id, Stage.EXTRACT, StageStatus.SUCCESS, now, row_count=fetched, details={"api_total": api_total}
        )
        await kit.state.record_part(
            run_id, Stage.VALIDATE, 0, now, row_count=manifest.rows_valid, rejected_count=manifest.rows_rejected
        )
        ref = await self._put(paths.load_manifest(run_id), encode_manifest(manifest), rows=manifest.rows_valid)
        return DataLoaded(
            run_id=run_id,
            pipeline_name=PIPELINE,
            week_start=week.start,
            week_end=week.end,
            correlation_id=run_id,
            manifest=ref,
            parts_total=1,
            rows_valid=manifest.rows_valid,
            rows_rejected=manifest.rows_rejected,
        )

    async def handle(self, message: DataLoaded, **settings: Any) -> Outcome:
        """Handle it as a freshly started gate would."""
        return await handle(message, self.deps(**settings))

    def deps(self, **settings: Any) -> Deps:
        common = {"state_url": self.kit.settings.state_url, "lake_url": self.kit.settings.lake_url}
        chosen = load_settings(GateSettings, _env_file=None, **common, **settings)
        return Deps(kit=self.kit, settings=chosen, rules=load_rules(chosen.gate_rules_file, chosen))

    async def gated(self, run_id: str, staged: Staged, week: Week = WEEK, **options: Any) -> Run:
        """Stage a week and handle it; the run as it ended."""
        settings = options.pop("settings", {})
        await self.handle(await self.staged(run_id, staged, week, **options), **settings)
        return await self.run(run_id)

    async def run(self, run_id: str) -> Run:
        found = await self.kit.state.get_run(run_id)
        assert found is not None
        return found

    async def stage(self, run_id: str) -> StageRow:
        found = await self.kit.state.get_stage(run_id, Stage.QUALITY_GATE)
        assert found is not None
        return found

    async def failed_checks(self, run_id: str) -> dict[str, Mapping[str, Any]]:
        """The checks that did not pass, by name."""
        details = (await self.stage(run_id)).details
        return {check["name"]: check for check in details["checks"] if not check["passed"]}

    async def files(self, prefix: str) -> dict[str, str]:
        """SHA-256 of every file below a folder of the lake, by its path."""
        return await contents(self.kit.lake, prefix)

    async def published(self) -> dict[str, str]:
        """The same of everything that readers see."""
        return await self.files("curated") | await self.files("signals")

    async def rows(self, path: str) -> list[Row]:
        found: list[Row] = pq.read_table(io.BytesIO(await self.kit.lake.get_bytes(path))).to_pylist()
        return found

    def announced(self) -> list[GatePassed]:
        messages = [decode(outgoing.body) for outgoing in self.publisher.sent]
        return [message for message in messages if isinstance(message, GatePassed)]

    async def _stage_files(self, run_id: str, staged: Staged, week: Week) -> LoadManifest:
        size = -(-len(staged.events) // staged.files) or 1
        cut = [staged.events[start : start + size] for start in range(0, len(staged.events), size)] or [[]]
        events = [
            await self._stage_file(paths.staged_events_file(run_id, index), rows, NULLABLE_EVENTS)
            for index, rows in enumerate(cut)
        ]
        rejects = []
        if staged.rejects:
            row = {"page": 1, "reject_code": "bad_price", "field": "price", "message": "…", "raw": "{}"}
            rows = [row | {"position": position} for position in range(staged.rejects)]
            rejects = [await self._stage_file(paths.staged_rejects_file(run_id, 0), rows, REJECT_SCHEMA)]
        if staged.lie_about_sha256:
            events = [
                StagedFile(path=file.path, sha256="00" * 32, size_bytes=file.size_bytes, rows=file.rows)
                for file in events
            ]
        return LoadManifest(
            run_id=run_id,
            pipeline_name=PIPELINE,
            week_start=week.start,
            week_end=week.end,
            parts_total=1,
            rows_valid=len(staged.events),
            rows_rejected=staged.rejects,
            reject_counts={"bad_price": staged.rejects} if staged.rejects else {},
            unknown_fields={},
            events=tuple(events),
            rejects=tuple(rejects),
        )

    async def _stage_file(self, path: str, rows: Sequence[Row], schema: Any) -> StagedFile:
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(list(rows), schema), sink)
        ref = await self._put(path, sink.getvalue(), rows=len(rows))
        return StagedFile(path=path, sha256=ref.sha256, size_bytes=ref.size_bytes, rows=ref.rows)

    async def _put(self, path: str, data: bytes, *, rows: int) -> BlobRef:
        await self.kit.lake.put_bytes(data, path)
        digest = hashlib.sha256(data).hexdigest()
        return BlobRef(url=url_of(self.kit.lake, path), sha256=digest, size_bytes=len(data), rows=rows)


def requested_at(week: Week) -> datetime:
    return datetime.combine(week.end + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=6)


async def contents(lake: Lake, prefix: str) -> dict[str, str]:
    listed = await lake.list(prefix)
    return {info.path: hashlib.sha256(await lake.get_bytes(info.path)).hexdigest() for info in listed}


@pytest.fixture
async def adls_lake(tmp_path: Path) -> AsyncIterator[Lake]:
    async with open_adls_lake(tmp_path) as lake:
        yield lake


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    """A gate whose lake is a folder."""
    publisher = RecordingPublisher()
    async with open_kit(tmp_path, publisher) as kit:
        yield Gate(kit, publisher)


@pytest.fixture
async def gate_on_adls(gate: Gate, adls_lake: Lake) -> Gate:
    return replace(gate, kit=replace(gate.kit, lake=adls_lake))


@pytest.fixture(params=["gate", "gate_on_adls"])
def gate_on_each(request: pytest.FixtureRequest) -> Gate:
    """A gate on each kind of lake."""
    chosen: Gate = request.getfixturevalue(request.param)
    return chosen

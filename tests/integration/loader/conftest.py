"""Loader replicas, and validated parts for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.blobs import store
from libs.common.events.schema import EVENT_SCHEMA, REJECT_SCHEMA
from libs.common.lake import paths
from libs.common.manifest import LoadManifest, decode_manifest
from libs.common.messages import BlobRef, DataLoaded, EventsValidated, decode
from libs.common.outcome import Outcome
from libs.common.processes import Processes
from libs.common.service import Kit
from libs.common.state import Stage
from services.loader.adapters import Merger
from services.loader.handlers import Deps, handle
from services.loader.merge import merge_events, merge_rejects, read_facts
from tests.integration.kits import IDS, REQUESTED_AT, RUN_ID, WEEK, RecordingPublisher, open_kit, open_run

MONDAY = datetime(2019, 9, 30, tzinfo=UTC)


class LocalMerger(Merger):
    """Merges in this process, and counts."""

    def __init__(self) -> None:
        super().__init__(Processes(1))
        self.merges = 0

    async def merge_events(self, sources: Sequence[Path], target: Path) -> None:
        self.merges += 1
        merge_events(sources, target)

    async def merge_rejects(self, sources: Sequence[Path], target: Path) -> None:
        merge_rejects(sources, target)

    async def read_facts(self, path: Path) -> tuple[int, datetime | None, datetime | None]:
        return read_facts(path)


@dataclass
class Loader:
    """One replica and what it works with."""

    deps: Deps
    publisher: RecordingPublisher
    merger: LocalMerger
    lake_dir: Path

    @property
    def kit(self) -> Kit:
        return self.deps.kit

    def with_groups_of(self, records: int) -> Loader:
        return replace(self, deps=replace(self.deps, most_records=records))

    async def validated(self, part: int, users: Sequence[str] = (), rejects: int = 0) -> EventsValidated:
        """Put a validated part where the validator would, recorded as it would, and return its message."""
        events = [_event(user, MONDAY + timedelta(hours=part, minutes=minute)) for minute, user in enumerate(users)]
        refused = [(part, position, "bad_price", "price", "…", "{}") for position in range(rejects)]
        counts = {"bad_price": rejects} if rejects else {}
        await self.kit.state.record_part(
            RUN_ID,
            Stage.VALIDATE,
            part,
            REQUESTED_AT,
            row_count=len(events),
            rejected_count=rejects,
            details={"reject_counts": counts, "unknown_fields": {"extra": {"string": 1}}},
        )
        return EventsValidated(
            **IDS,
            part=part,
            valid=await self._store(events, EVENT_SCHEMA, paths.validated_part(RUN_ID, part)),
            rejects=await self._store(refused, REJECT_SCHEMA, paths.rejects_part(RUN_ID, part)),
            reject_counts=counts,
        )

    async def parts_are(self, total: int) -> None:
        """Record, as the extractor does before the last part goes out, how many there are."""
        await self.kit.state.start_stage(RUN_ID, Stage.EXTRACT, REQUESTED_AT)
        await self.kit.state.set_parts_total(RUN_ID, total)

    async def handle(self, message: EventsValidated) -> Outcome:
        return await handle(message, self.deps)

    def announced(self) -> list[DataLoaded]:
        messages = [decode(outgoing.body) for outgoing in self.publisher.sent]
        return [message for message in messages if isinstance(message, DataLoaded)]

    def manifest(self) -> LoadManifest:
        return decode_manifest((self.lake_dir / paths.load_manifest(RUN_ID)).read_bytes())

    def table(self, path: str) -> Any:
        return pq.read_table(self.lake_dir / path)

    def staged(self) -> dict[str, bytes]:
        root = self.lake_dir / paths.staging_dir(RUN_ID)
        return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}

    async def _store(self, rows: list[tuple[Any, ...]], schema: Any, path: str) -> BlobRef:
        local = self.kit.scratch / "part.parquet"
        columns = zip(*rows, strict=True) if rows else [()] * len(schema)
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)]
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), local)
        return await store(self.kit.lake, local, path, len(rows))


def _event(user: str, at: datetime) -> tuple[Any, ...]:
    price = Decimal("1.5000")
    return (at, "view", "p1", None, None, "acme", price, user, "s1", WEEK.start, WEEK.end, REQUESTED_AT)


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[tuple[Loader, Loader]]:
    """Two loaders with one lake and one database, each with connections of its own."""
    publisher, merger = RecordingPublisher(), LocalMerger()
    async with AsyncExitStack() as stack:
        kits = [await stack.enter_async_context(open_kit(tmp_path, publisher)) for _ in range(2)]
        await open_run(kits[0])
        first, second = (
            Loader(Deps(kit=kit, merger=merger, most_records=500_000), publisher, merger, tmp_path / "lake")
            for kit in kits
        )
        yield first, second


@pytest.fixture
def loader(replicas: tuple[Loader, Loader]) -> Loader:
    return replicas[0]

"""A validator replica, and raw parts for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.blobs import store
from libs.common.events.report import Report
from libs.common.events.schema import RAW_SCHEMA
from libs.common.lake import paths
from libs.common.messages import EventsExtracted, EventsValidated, decode
from libs.common.outcome import Outcome
from libs.common.service import Kit
from libs.common.state import Stage
from libs.common.week import Week
from services.validator.adapters import PartFiles
from services.validator.files import validate_files
from services.validator.handlers import Deps, handle
from tests.integration.kits import IDS, REQUESTED_AT, RUN_ID, RecordingPublisher, open_kit, open_run


@dataclass
class Validator:
    """One replica and what it works with."""

    deps: Deps
    publisher: RecordingPublisher
    lake_dir: Path

    @property
    def kit(self) -> Kit:
        return self.deps.kit

    async def extracted(self, part: int, *pages: bytes) -> EventsExtracted:
        """Put a raw part where the extractor would, and return its message."""
        local = self.kit.scratch / "raw.parquet"
        rows = [(number, REQUESTED_AT, body) for number, body in enumerate(pages, start=part * 100 + 1)]
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, RAW_SCHEMA, strict=True)]
        pq.write_table(pa.Table.from_arrays(arrays, schema=RAW_SCHEMA), local)
        return EventsExtracted(
            **IDS,
            part=part,
            raw=await store(self.kit.lake, local, paths.raw_part(RUN_ID, part), len(pages)),
            first_page=rows[0][0] if rows else None,
            last_page=rows[-1][0] if rows else None,
        )

    async def parts_are(self, total: int) -> None:
        """Record, as the extractor does before the last part goes out, how many there are."""
        await self.kit.state.start_stage(RUN_ID, Stage.EXTRACT, REQUESTED_AT)
        await self.kit.state.set_parts_total(RUN_ID, total)

    async def handle(self, message: EventsExtracted) -> Outcome:
        return await handle(message, self.deps)

    def announced(self) -> list[EventsValidated]:
        messages = [decode(outgoing.body) for outgoing in self.publisher.sent]
        return [message for message in messages if isinstance(message, EventsValidated)]

    def table(self, path: str) -> list[dict[str, Any]]:
        return pq.read_table(self.lake_dir / path).to_pylist()  # type: ignore[no-any-return] # pyarrow has no types

    def files(self) -> dict[str, bytes]:
        found = [file for file in (self.lake_dir / "runs").rglob("*") if file.is_file() and "raw" not in file.parts]
        return {str(file.relative_to(self.lake_dir)): file.read_bytes() for file in found}


async def _in_process(files: PartFiles, week: Week, ingested_at: datetime) -> Report:
    return validate_files(files.raw, files.valid, files.rejects, week, ingested_at)


@pytest.fixture
async def validator(tmp_path: Path) -> AsyncIterator[Validator]:
    publisher = RecordingPublisher()
    async with open_kit(tmp_path, publisher) as kit:
        await open_run(kit)
        yield Validator(Deps(kit=kit, validate=_in_process), publisher, tmp_path / "lake")


@pytest.fixture
def record() -> Callable[..., bytes]:
    """The JSON text of a valid record, with fields changed or, given None, null."""

    def build(**changes: Any) -> bytes:
        good = {"event_time": "2019-10-01 00:00:00 UTC", "event_type": "view", "user_id": 1, "price": "1.50"}
        return json.dumps({**good, **changes}).encode()

    return build

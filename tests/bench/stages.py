"""One week through the pipeline's own processes: stage after stage, each alone, and as a chain."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from libs.common.lake import paths
from libs.common.manifest import LoadManifest, StagedFile, decode_manifest
from libs.common.state import Stage
from tests.bench.measure import PeakMemory, Usage
from tests.bench.stack import BenchError, EventsApi, Stack

SERVICES = {Stage.EXTRACT: "extractor", Stage.VALIDATE: "validator", Stage.LOAD: "loader"}
LEAST_EVENTS_PER_SEC = 2_000
"""Slower than this is a hang."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a measured run made of the week, as its files have it."""

    valid: int
    price: Decimal
    reject_counts: dict[str, int]
    files: int
    largest_file_mb: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds by name of what was measured, and what the processes used."""

    seconds: dict[str, float]
    usage: dict[str, Usage]
    outcome: Outcome


async def stages_alone(folder: Path, api: EventsApi, settings: dict[str, str]) -> Measured:
    """Each service is started when the one before it is done, so it has the machine and all messages for itself."""
    seconds = {}
    async with Stack(folder, api, settings) as stack:
        with PeakMemory(stack.pids) as memory:
            await stack.request_week()
            for stage, service in SERVICES.items():
                await stack.start(service)
                row = await stack.finished(stage, _patience(api))
                if row.finished_at is None:
                    raise BenchError(f"{stage} has no end.")
                seconds[service] = (row.finished_at - row.started_at).total_seconds()
        return Measured(seconds, memory.usage, outcome_of(stack))


async def chain(folder: Path, api: EventsApi, settings: dict[str, str]) -> Measured:
    """All services at once, from just before the publish of `week.requested` to the record of `data.loaded`."""
    async with Stack(folder, api, settings) as stack:
        await stack.start(*SERVICES.values())
        with PeakMemory(stack.pids) as memory:
            begun_at = await stack.request_week()
            row = await stack.finished(Stage.LOAD, _patience(api))
        if row.finished_at is None:
            raise BenchError("The chain has no end.")
        return Measured({"chain": (row.finished_at - begun_at).total_seconds()}, memory.usage, outcome_of(stack))


def outcome_of(stack: Stack) -> Outcome:
    """Read back what lies in the lake: the manifest's rejects, and money from the files themselves."""
    manifest = decode_manifest((stack.lake / paths.load_manifest(stack.run_id)).read_bytes())
    read = [_read(stack.lake / file.path, file) for file in manifest.events]
    _hold_together(manifest, sum(rows for rows, _ in read))
    return Outcome(
        valid=sum(rows for rows, _ in read),
        price=sum((price for _, price in read), Decimal(0)),
        reject_counts=dict(sorted(Counter(manifest.reject_counts).items())),
        files=len(manifest.events),
        largest_file_mb=max(file.size_bytes for file in manifest.events) / 1e6,
    )


def _read(path: Path, file: StagedFile) -> tuple[int, Decimal]:
    events = pq.read_table(path, columns=["user_id", "event_time", "price"])
    order = pc.sort_indices(events, sort_keys=[("user_id", "ascending"), ("event_time", "ascending")])
    if not events.equals(events.take(order)):
        raise BenchError(f"{file.path} is not sorted by user and time.")
    metadata: Any = pq.read_metadata(path)
    for group in range(metadata.num_row_groups):
        if not metadata.row_group(group).column(7).is_stats_set:
            raise BenchError(f"{file.path} has no statistics on its users.")
    return events.num_rows, pc.sum(events["price"]).as_py() or Decimal(0)


def _hold_together(manifest: LoadManifest, rows: int) -> None:
    if rows != manifest.rows_valid:
        raise BenchError(f"The files have {rows} rows, the manifest says {manifest.rows_valid}.")


def _patience(api: EventsApi) -> float:
    return 60 + api.events / LEAST_EVENTS_PER_SEC

"""What a week has come to, as far as it must not depend on what happened on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.chaos.plant import Plant

# Not `published`: whoever died between publishing and marking finds the run over and marks nothing, which harms nobody.
_RUN = """
    SELECT run_id, pipeline_name, batch_week_start, batch_week_end, status, requested_by, requested_at_utc, dry_run,
           options, rows_fetched, rows_output, rows_rejected, reject_rate_pct, output_path, error_code, error_message,
           supersedes, superseded_by, moved_checkpoint
    FROM pipeline_run"""
_STAGES = """
    SELECT stage_name, status, row_count, rejected_count, parts_total, error_code, error_message, details
    FROM pipeline_stage ORDER BY stage_name"""
_PARTS = """
    SELECT stage_name, part_index, row_count, rejected_count
    FROM pipeline_part ORDER BY stage_name, part_index"""
_CHECKPOINT = """
    SELECT pipeline_name, last_successful_week_start, last_successful_week_end, next_week_start, next_week_end
    FROM pipeline_checkpoint"""
_EFFORT = {"api_calls", "bulk_batches", "jobs", "retried", "finished_at"}
"""What it cost and when it was over: the only figures that may differ."""
_AUDIT_FIELDS = {"CreatedDate", "LastModifiedDate", "SystemModstamp"}


@dataclass(frozen=True)
class Outcome:
    """Two weeks with equal outcomes cannot be told apart by anybody who reads them."""

    files: dict[str, str]
    """SHA-256 of every file by its path: published events, rejects, signals, manifest, sync logs and snapshot."""
    left_behind: set[str]
    """What remains in the run's own folder."""
    checkpoint_mirror: dict[str, Any]
    sync_runs: list[dict[str, Any]]
    run: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    parts: list[dict[str, Any]]
    checkpoint: list[dict[str, Any]]
    records: list[dict[str, Any]]
    dead_letters: int


def outcome_of(plant: Plant) -> Outcome:
    """Look at everything that a finished week leaves."""
    lake = plant.lake
    paths = sorted(path for path in lake.rglob("*") if path.is_file())
    runs = [path for path in paths if "sync_runs" in path.parts]
    mirror = lake / "state" / "checkpoint.json"
    apart = {mirror, *runs, *(path for path in paths if path.is_relative_to(lake / "runs"))}
    return Outcome(
        files={str(path.relative_to(lake)): _sha256(path) for path in paths if path not in apart},
        left_behind={path.name for folder in (lake / "runs").iterdir() for path in folder.iterdir()},
        checkpoint_mirror=_without(json.loads(mirror.read_bytes()), {"updated_at_utc"}),
        sync_runs=[_without(row, _EFFORT) for path in runs for row in pq.read_table(path).to_pylist()],
        run=plant.rows(_RUN),
        stages=[
            row | {"details": _without(json.loads(row["details"] or "{}"), _EFFORT)} for row in plant.rows(_STAGES)
        ],
        parts=plant.rows(_PARTS),
        checkpoint=plant.rows(_CHECKPOINT),
        records=[_without(record, _AUDIT_FIELDS) for record in plant.records()],
        dead_letters=plant.dead_letters(),
    )


def differences(found: Outcome, expected: Outcome) -> dict[str, tuple[Any, Any]]:
    """Where the two differ, down to the single value, as (found, expected); empty when they are equal."""
    ours, theirs = dict(_leaves("", asdict(found))), dict(_leaves("", asdict(expected)))
    return {
        path: (ours.get(path), theirs.get(path))
        for path in sorted({*ours, *theirs})
        if ours.get(path) != theirs.get(path)
    }


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from _leaves(f"{path}.{name}", inner)
        case list():
            for index, inner in enumerate(value):
                yield from _leaves(f"{path}[{index}]", inner)
        case _:
            yield path, value


def _without(row: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

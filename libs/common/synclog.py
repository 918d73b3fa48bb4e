"""What the sync left in the lake about each row: layout, schemas, and reading it back.

sync/customer_weekly_metric/
  snapshot/week_start=…/week_end=…/{rank}.parquet          rows that Salesforce accepted, as it holds them
  snapshot/week_start=…/week_end=…/{rank}.intent.parquet   keys about to be sent whose outcome is not known yet
  sync_changes/week_start=…/week_end=…/{rank}.parquet      every row sent or refused: what, with which outcome
  sync_runs/week_start=…/week_end=…/{rank}.parquet         one row: the counts of one round

`rank` is `{requested_at}-{run_id}-{round}`, so files sort by the age of their run. Nothing is ever rewritten: of a key
that several snapshot files hold, the one with the highest rank counts. DuckDB and Synapse read each of the three
folders as one table.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.lake import Lake, paths
from libs.common.week import Week

_WEEK_DIR: Final = re.compile(r"/week_start=([0-9-]{10})/week_end=([0-9-]{10})/")
INTENT_SUFFIX: Final = ".intent.parquet"
OWN_COLUMNS: Final = ("external_id", "customer_id", "salesforce_id", "run_id", "rank", "mapping")
"""Columns of a snapshot file besides the Salesforce fields, which are strings in canonical form."""


def snapshot_schema(fields: Sequence[str]) -> pa.Schema:
    """Of a snapshot file with these Salesforce fields."""
    return pa.schema([(name, pa.string()) for name in (*OWN_COLUMNS, *fields)])


CHANGES_SCHEMA: Final = pa.schema(
    [
        ("run_id", pa.string()),
        ("week_start", pa.date32()),
        ("week_end", pa.date32()),
        ("external_id", pa.string()),
        ("customer_id", pa.string()),
        ("operation", pa.string()),  # create | update; of an invalid row null
        ("status", pa.string()),  # accepted | rejected | unprocessed | invalid
        ("code", pa.string()),
        ("kind", pa.string()),  # transient | batch_limit | permanent
        ("message", pa.string()),
        ("salesforce_id", pa.string()),
        ("job_id", pa.string()),  # null for rows sent through the Collections API
        ("attempts", pa.int64()),
        ("payload", pa.string()),  # JSON object: field → text as sent, null where absent
    ]
)
RUNS_SCHEMA: Final = pa.schema(
    [
        ("run_id", pa.string()),
        ("week_start", pa.date32()),
        ("week_end", pa.date32()),
        ("round", pa.int64()),
        ("org", pa.string()),
        ("object", pa.string()),
        ("mapping", pa.string()),
        ("full_sync", pa.bool_()),
        ("rows", pa.int64()),
        ("created", pa.int64()),
        ("updated", pa.int64()),
        ("unchanged", pa.int64()),
        ("failed", pa.int64()),
        ("invalid", pa.int64()),
        ("absent", pa.int64()),
        ("retried", pa.int64()),
        ("jobs", pa.int64()),
        ("api_calls", pa.int64()),
        ("bulk_batches", pa.int64()),
        ("warning", pa.string()),
        ("finished_at", pa.timestamp("us", "UTC")),
    ]
)


def rank_of(requested_at: datetime, run_id: str, round_number: int) -> str:
    """Sorts as the runs were asked for; a later round of one run comes after its earlier ones."""
    return f"{requested_at.astimezone(UTC):%Y%m%dT%H%M%S%f}Z-{run_id}-{round_number:03d}"


def _dir(kind: str, week: Week) -> str:
    return f"{paths.SYNC_DIR}/{kind}/{paths.week_dir(week.start, week.end)}"


def snapshot_dir(week: Week) -> str:
    """Snapshot and intent files of a week."""
    return _dir("snapshot", week)


def snapshot_file(week: Week, rank: str) -> str:
    """Rows that one round got accepted."""
    return f"{snapshot_dir(week)}/{rank}.parquet"


def intent_file(week: Week, rank: str) -> str:
    """Keys that one round is about to send; there from before the first is sent until their outcomes are recorded."""
    return f"{snapshot_dir(week)}/{rank}{INTENT_SUFFIX}"


def changes_file(week: Week, rank: str) -> str:
    """Outcomes of one round."""
    return f"{_dir('sync_changes', week)}/{rank}.parquet"


def runs_file(week: Week, rank: str) -> str:
    """Counts of one round."""
    return f"{_dir('sync_runs', week)}/{rank}.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncChange:
    """One row in one round."""

    run_id: str
    external_id: str | None
    customer_id: str | None
    operation: str | None
    status: str
    code: str | None
    kind: str | None
    message: str | None
    salesforce_id: str | None
    job_id: str | None
    attempts: int
    payload: dict[str, str | None]
    """Field → text as it was sent, or would have been."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What Salesforce is known to hold for one row."""

    run_id: str
    external_id: str
    customer_id: str | None
    salesforce_id: str | None
    values: dict[str, str | None]
    in_doubt: bool
    """A later sending of this row has not been accounted for yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerHistory:
    """All that is known about one customer in one week; `changes` from the oldest to the newest."""

    accepted: tuple[Accepted, ...]
    changes: tuple[SyncChange, ...]
    under_way: tuple[str, ...]
    """External ids whose sending was announced and is not accounted for yet."""

    @property
    def is_known(self) -> bool:
        """Whether the logs have heard of the customer at all."""
        return bool(self.accepted or self.changes or self.under_way)


class SyncLog:
    """Reads the logs. Memory follows the rows found, not the files. Raises LakeError."""

    def __init__(self, lake: Lake, scratch: Path) -> None:
        self._lake = lake
        self._scratch = scratch

    async def weeks(self) -> list[Week]:
        """The weeks that the logs are about, the oldest first."""
        files = await self._lake.list(paths.SYNC_DIR)
        found = (_WEEK_DIR.search(file.path) for file in files)
        return sorted({Week(*map(date.fromisoformat, match.groups())) for match in found if match})

    async def runs(self, week: Week) -> list[dict[str, Any]]:
        """The rows of `sync_runs` for a week, the oldest first."""
        return [row for _, table in await self._read(_dir("sync_runs", week), None) for row in table.to_pylist()]

    async def customer(self, customer_id: str, week: Week) -> CustomerHistory:
        """Was this customer's row of the week sent, with what values, and what did Salesforce say?"""
        wanted = [("customer_id", "=", customer_id)]
        changes = [
            _change(row)
            for _, table in await self._read(_dir("sync_changes", week), wanted)
            for row in table.to_pylist()
        ]
        held: dict[str, dict[str, Any]] = {}
        intents: dict[str, str] = {}
        for path, table in await self._read(snapshot_dir(week), wanted):
            for row in table.to_pylist():
                if path.endswith(INTENT_SUFFIX):
                    intents[row["external_id"]] = row["rank"]
                else:
                    held[row["external_id"]] = row  # files come by rank, so the last one counts
        accepted = tuple(_accepted(row, intents.get(key, "")) for key, row in sorted(held.items()))
        settled = {each.external_id for each in accepted if not each.in_doubt}
        return CustomerHistory(
            accepted=accepted,
            changes=tuple(changes),
            under_way=tuple(sorted(intents.keys() - settled)),
        )

    async def _read(self, folder: str, filters: list[tuple[str, str, str]] | None) -> list[tuple[str, pa.Table]]:
        found = []
        for file in await self._lake.list(folder):
            async with self._local(file.path) as local:
                table = await asyncio.to_thread(pq.read_table, local, filters=filters, partitioning=None)
            found.append((file.path, table))
        return found

    @asynccontextmanager
    async def _local(self, path: str) -> AsyncIterator[Path]:
        async with self._lake.local_copy(path, self._scratch) as local:
            yield local


def _change(row: dict[str, Any]) -> SyncChange:
    fields = {name: row[name] for name in SyncChange.__slots__ if name != "payload"}
    return SyncChange(**fields, payload=msgspec.json.decode(row["payload"], type=dict[str, str | None]))


def _accepted(row: dict[str, Any], intent_rank: str) -> Accepted:
    return Accepted(
        run_id=row["run_id"],
        external_id=row["external_id"],
        customer_id=row["customer_id"],
        salesforce_id=row["salesforce_id"],
        values={name: value for name, value in row.items() if name not in OWN_COLUMNS},
        in_doubt=intent_rank > row["rank"],
    )

"""What one round is to send: canonical rows, their difference from the snapshot, files in the lake. Nothing is sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from libs.common import synclog
from libs.common.lake import Lake
from libs.common.week import Week
from services.sf_sync import diff
from services.sf_sync.canonical import canonical_batch, canonical_schema
from services.sf_sync.diff import Against, DiffCounts
from services.sf_sync.duck import open_duck, parquet
from services.sf_sync.errors import SalesforceRequestError
from services.sf_sync.files import local_copies, scratch_folder
from services.sf_sync.ledger import Plan
from services.sf_sync.mapping import Mapping, ResolvedMapping
from services.sf_sync.mapping_check import picklist_columns, resolve, unknown_object
from services.sf_sync.session import SalesforceSession
from services.sf_sync.source import Source, distinct_values

CREATES: Final = "create"
UPDATES: Final = "update"
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where rows go: a mapping that has been held against the org."""

    mapping: ResolvedMapping
    org: str

    @property
    def fingerprint(self) -> str:
        """Of snapshot rows that compare with this target's."""
        return self.mapping.fingerprint(self.org)


def check_target(session: SalesforceSession, mapping: Mapping, source: Source) -> Target:
    """Hold the mapping against the org's description and the source. Blocks.

    Raises MappingError with all faults, SourceError, and what the session raises.
    """
    try:
        describe = session.describe(mapping.object)
    except SalesforceRequestError as error:
        if error.status == _NOT_FOUND:
            raise unknown_object(mapping, source.schema) from error
        raise
    distinct = distinct_values(source, picklist_columns(mapping, describe))
    return Target(mapping=resolve(mapping, source.schema, describe, distinct), org=session.org_id())


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFiles:
    """The week's snapshot as a round sees it, as paths in the lake."""

    accepted: list[str]
    intents: list[str]


async def list_snapshot(lake: Lake, week: Week, rank: str) -> SnapshotFiles:
    """What there is; without the intent of the round itself."""
    found = [file.path for file in await lake.list(synclog.snapshot_dir(week))]
    intents = [path for path in found if path.endswith(synclog.INTENT_SUFFIX)]
    own = synclog.intent_file(week, rank)
    return SnapshotFiles(
        accepted=[path for path in found if path not in intents], intents=[path for path in intents if path != own]
    )


@asynccontextmanager
async def open_against(
    lake: Lake, files: SnapshotFiles, scratch: Path, *, fingerprint: str, full: bool = False
) -> AsyncIterator[Against]:
    """The snapshot as local files."""
    async with (
        local_copies(lake, files.accepted, scratch) as accepted,
        local_copies(lake, files.intents, scratch) as intents,
    ):
        yield Against(snapshot=accepted, intents=intents, fingerprint=fingerprint, full=full)


async def make_plan(
    lake: Lake, scratch: Path, source: Source, target: Target, *, week: Week, rank: str, folder: str, full: bool
) -> Plan:
    """Find the changes and write them, the invalid rows and the intent into the lake.

    `folder` must be nobody else's. The intent comes last, and before anything may be sent.
    """
    files = await list_snapshot(lake, week, rank)
    with scratch_folder(scratch) as local:
        changes, invalid, intent = (local / f"{name}.parquet" for name in ("changes", "invalid", "intent"))
        async with open_against(lake, files, scratch, fingerprint=target.fingerprint, full=full) as against:
            counts = await asyncio.to_thread(
                _write_plan, local, source, target.mapping, against, rank, (changes, invalid, intent)
            )
        plan = Plan(
            folder=folder,
            mapping=target.mapping,
            fingerprint=target.fingerprint,
            org=target.org,
            rows=counts.rows,
            changes=counts.changes,
            unchanged=counts.unchanged,
            invalid=counts.invalid,
            absent=counts.absent,
            full_sync=full,
            snapshot_files=files.accepted,
            intent_files=files.intents,
        )
        await lake.put_file(changes, plan.changes_file)
        await lake.put_file(invalid, plan.invalid_file)
        if counts.changes:
            await lake.put_file(intent, synclog.intent_file(week, rank))
    return plan


def write_canonical(source: Source, mapping: ResolvedMapping, target: Path) -> None:
    """All rows of the source in canonical form, as Parquet. Blocks; raises SourceError."""
    with source.batches() as batches, pq.ParquetWriter(target, canonical_schema(mapping), compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(canonical_batch(batch, mapping))


def _write_plan(
    local: Path,
    source: Source,
    mapping: ResolvedMapping,
    against: Against,
    rank: str,
    targets: tuple[Path, Path, Path],
) -> DiffCounts:
    changes, invalid, intent = targets
    canonical = local / "canonical.parquet"
    write_canonical(source, mapping, canonical)
    with open_duck(local) as duck:
        diff.prepare(duck, canonical, mapping, against)
        diff.write_changes(duck, mapping, against, changes)
        duck.write("FROM invalid_rows", invalid)
        duck.write(diff.intent_query(changes, rank), intent)
        return diff.count(duck, parquet([changes]))

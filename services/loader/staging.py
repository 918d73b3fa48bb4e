"""A group of parts laid out in the run's staging folder, and read back."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from libs.common.blobs import open_blob, store
from libs.common.errors import TerminalError
from libs.common.lake import Lake, paths
from libs.common.manifest import StagedFile
from libs.common.messages import BlobRef
from libs.common.scratch import scratch_folder
from libs.common.state import PartRow
from services.loader.adapters import Merger
from services.loader.plan import Group


class LoadMismatchError(TerminalError):
    """A staged file, read back, does not hold what was merged into it."""

    code = "load_mismatch"
    next_step = "Look for who else writes to the run's folder in the lake, then publish the week again."


class StagedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a group; kept in the details of its first part's row. None where there was nothing to write."""

    first: int
    last: int
    events: StagedFile | None
    rejects: StagedFile | None


class PartRefs(msgspec.Struct, frozen=True, kw_only=True):
    """Details of a part's row: where its records are, and, for the first of a group, what was made of the group."""

    valid: BlobRef
    rejects: BlobRef
    group: StagedGroup | None = None

    def to_details(self) -> dict[str, Any]:
        """Plain data for the state tables."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return] # a struct becomes a dict

    @classmethod
    def of(cls, row: PartRow) -> PartRefs:
        """The reverse of `to_details`."""
        return msgspec.convert(row.details, cls)


class Staging:
    """Writes staged files. The same parts give the same bytes at the same path, so a repeat or a rival does no harm."""

    def __init__(self, run_id: str, *, lake: Lake, merger: Merger, scratch: Path) -> None:
        self._run_id = run_id
        self._lake = lake
        self._merger = merger
        self._scratch = scratch

    async def write_group(self, group: Group, parts: list[PartRefs]) -> StagedGroup:
        """Merge the parts of a group, given in order.

        Raises LoadMismatchError, ScratchFullError, WorkerDiedError, LakeError and what `open_blob` raises.
        """
        return StagedGroup(
            first=group.first,
            last=group.last,
            events=await self._write(
                [part.valid for part in parts], paths.staged_events_file(self._run_id, group.index), events=True
            ),
            rejects=await self._write(
                [part.rejects for part in parts], paths.staged_rejects_file(self._run_id, group.index), events=False
            ),
        )

    async def write_empty(self) -> StagedFile:
        """An events file without rows, so that readers of a week without valid events find its columns."""
        return await self._write_file([], paths.staged_events_file(self._run_id, 0), events=True)

    async def remove_others(self, kept: set[str]) -> None:
        """Remove staged files that are not among `kept`: an attempt with other settings grouped otherwise."""
        for folder in (paths.staged_events_dir(self._run_id), paths.staged_rejects_dir(self._run_id)):
            for file in await self._lake.list(folder):
                if file.path not in kept:
                    await self._lake.delete(file.path)

    async def _write(self, refs: list[BlobRef], path: str, *, events: bool) -> StagedFile | None:
        filled = [ref for ref in refs if ref.rows]
        return await self._write_file(filled, path, events=events) if filled else None

    async def _write_file(self, refs: list[BlobRef], path: str, *, events: bool) -> StagedFile:
        rows = sum(ref.rows for ref in refs)
        with scratch_folder(self._scratch, "group") as folder:
            merged = folder / "merged.parquet"
            async with AsyncExitStack() as stack:
                sources = [await stack.enter_async_context(open_blob(self._lake, ref, folder)) for ref in refs]
                merge = self._merger.merge_events if events else self._merger.merge_rejects
                await merge(sources, merged)
            ref = await store(self._lake, merged, path, rows)
            return await self._read_back(ref, path, folder)

    async def _read_back(self, ref: BlobRef, path: str, folder: Path) -> StagedFile:
        async with open_blob(self._lake, ref, folder) as written:  # which compares size and checksum
            rows, first, last = await self._merger.read_facts(written)
        if rows != ref.rows:
            raise LoadMismatchError(f"{path} has {rows} rows, {ref.rows} were merged into it.")
        return StagedFile(
            path=path,
            sha256=ref.sha256,
            size_bytes=ref.size_bytes,
            rows=rows,
            min_event_time=first,
            max_event_time=last,
        )

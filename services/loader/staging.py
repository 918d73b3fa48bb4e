"""A group of parts → staged files, each proven by reading it back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from libs.common.blobs import open_blob
from libs.common.errors import TransientError
from libs.common.lake import paths, sha256_file
from libs.common.manifest import StagedFile
from libs.common.messages import BlobRef
from libs.common.service import Kit
from services.loader.adapters import Written, merge_events, merge_rejects, read_back
from services.loader.groups import Group


class StagedFileError(TransientError):
    """A staged file does not read back as it was written."""

    code = "staged_file_differs"
    next_step = "It is written again. If it happens again, look at the lake's storage."


async def stage_group(
    run_id: str, index: int, valid: Sequence[BlobRef], rejects: Sequence[BlobRef], kit: Kit, *, row_group_rows: int
) -> Group:
    """Merge the parts of a group into staged files. The same parts give the same bytes under the same names."""
    events = await _stage(
        kit,
        valid,
        paths.staged_events_file(run_id, index),
        lambda sources, target: merge_events(sources, target, row_group_rows=row_group_rows),
    )
    with_rows = [ref for ref in rejects if ref.rows]
    refused = (
        await _stage(kit, with_rows, paths.staged_rejects_file(run_id, index), merge_rejects) if with_rows else None
    )
    return Group(index=index, events=events, rejects=refused)


async def _stage(
    kit: Kit, refs: Sequence[BlobRef], path: str, merge: Callable[[Sequence[Path], Path], Written]
) -> StagedFile:
    target = kit.scratch / path.replace("/", "-")
    try:
        async with AsyncExitStack() as stack:
            sources = [await stack.enter_async_context(open_blob(kit.lake, ref, kit.scratch)) for ref in refs]
            written = await asyncio.to_thread(merge, sources, target)
        digest = await asyncio.to_thread(sha256_file, target)
        await kit.lake.put_file(target, path)
    finally:
        await asyncio.to_thread(target.unlink, missing_ok=True)
    async with kit.lake.local_copy(path, kit.scratch) as local:
        found = (await asyncio.to_thread(sha256_file, local), await asyncio.to_thread(read_back, local))
    if found != (digest, written):
        raise StagedFileError(f"{path} was written as {(digest, written)} and reads back as {found}.")
    return StagedFile(
        path=path,
        sha256=digest.sha256,
        size_bytes=digest.size_bytes,
        rows=written.rows,
        min_event_time=written.min_event_time,
        max_event_time=written.max_event_time,
    )

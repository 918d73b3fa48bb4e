"""Staged week → what readers see, all of it or nothing.

Whole directories move, each by one atomic rename:

1. What is published of the week goes aside (only a forced re-run finds any), the events first, for with them goes the
   manifest.
2. The staged rejects, signals and events take its place, the events last.
3. The manifest is written, after a look whether every file that it lists is there.
4. What went aside is deleted.

So where a manifest is, its files are there, all of them and no others; and a reader that looks for files alone finds
the old week's, none, or the new week's. A crash between two steps is finished by the redelivery: every step looks
before it acts. Two consumers of one message at once do each step once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from libs.common.errors import TransientError
from libs.common.failpoints import failpoint
from libs.common.lake import Lake, LakeFileExistsError, LakeFileNotFoundError, paths
from libs.common.manifest import LoadManifest, StagedFile
from libs.common.published import PublishedManifest, PublishedManifestError, decode_published, encode_published
from libs.common.week import Week
from services.gate.verdict import Verdict

KINDS: Final = ("rejects", "signals", "events")
"""In the order of publishing: once the events are there, the rest is. Withdrawn in the reverse order."""


class WeekIncompleteError(TransientError):
    """The files of the week that is being published are not those that the manifest would list."""

    code = "published_week_incomplete"
    next_step = (
        "It is tried again. If it stays, find out who removes or adds files below `curated` and `signals`, then "
        "publish the week again with --force. What a forced run was to replace lies in its `runs/<run_id>/superseded`."
    )


def staged_dir(run_id: str, kind: str) -> str:
    """Where the run keeps a kind of file until it is published."""
    return f"{paths.staging_dir(run_id)}/{kind}"


def public_dir(week: Week, kind: str) -> str:
    """Where readers find it."""
    directories = {
        "events": paths.curated_events_dir,
        "rejects": paths.curated_rejects_dir,
        "signals": paths.signals_dir,
    }
    return directories[kind](week.start, week.end)


def published_manifest(manifest: LoadManifest, verdict: Verdict, signals: StagedFile) -> PublishedManifest:
    """The week's manifest, its files where they will be."""
    week = manifest.week
    return PublishedManifest(
        run_id=manifest.run_id,
        pipeline_name=manifest.pipeline_name,
        week_start=week.start,
        week_end=week.end,
        run_status=verdict.status.value,
        rows_valid=manifest.rows_valid,
        rows_rejected=manifest.rows_rejected,
        reject_rate_pct=verdict.reject_rate_pct,
        events=_moved(manifest.events, public_dir(week, "events")),
        rejects=_moved(manifest.rejects, public_dir(week, "rejects")),
        signals=_moved((signals,), public_dir(week, "signals")),
    )


async def publish(lake: Lake, manifest: PublishedManifest) -> None:
    """Make the week visible; safe to repeat at any point. Raises WeekIncompleteError, LakeError."""
    week = manifest.week
    path = paths.curated_manifest(week.start, week.end)
    if await _published_by(lake, path) != manifest.run_id:
        for kind in reversed(KINDS):
            await _withdraw(lake, manifest, kind)
        for kind in KINDS:
            await _place(lake, manifest, kind)
            await failpoint("publishing", kind=kind)
        await _look(lake, manifest)
        await lake.put_bytes(encode_published(manifest), path)
    await lake.delete(_aside_dir(manifest.run_id))


async def _published_by(lake: Lake, path: str) -> str | None:
    """The run whose week readers see."""
    try:
        return decode_published(await lake.get_bytes(path)).run_id
    except (LakeFileNotFoundError, PublishedManifestError):
        return None


async def _withdraw(lake: Lake, manifest: PublishedManifest, kind: str) -> None:
    """Move what another run published aside."""
    target, aside = public_dir(manifest.week, kind), f"{_aside_dir(manifest.run_id)}/{kind}"
    if not await lake.exists(target):
        return
    placed_before = bool(getattr(manifest, kind)) and not await lake.exists(staged_dir(manifest.run_id, kind))
    if not placed_before:
        await _rename(lake, target, aside)


async def _place(lake: Lake, manifest: PublishedManifest, kind: str) -> None:
    """Move the staged files to where readers find them."""
    source = staged_dir(manifest.run_id, kind)
    if await lake.exists(source):
        await _rename(lake, source, public_dir(manifest.week, kind))


async def _rename(lake: Lake, source: str, target: str) -> None:
    """Move a directory, unless that was done before.

    It was where another consumer of the same message is faster, or where our files were staged again after they had
    moved. Should it be anything else, `_look` finds it.
    """
    with suppress(LakeFileNotFoundError, LakeFileExistsError):
        await lake.rename_directory(source, target)


async def _look(lake: Lake, manifest: PublishedManifest) -> None:
    """Compare what lies there, by name and size, with what the manifest lists."""
    week = manifest.week
    listed = {file.path: file.size_bytes for file in manifest.files}
    found = {info.path: info.size_bytes for kind in KINDS for info in await lake.list(public_dir(week, kind))}
    found.pop(paths.curated_manifest(week.start, week.end), None)
    if found != listed:
        at_fault = sorted(path for path in found.keys() | listed.keys() if found.get(path) != listed.get(path))
        raise WeekIncompleteError(f"{len(at_fault)} files are missing, changed or surplus: {', '.join(at_fault[:5])}.")


def _aside_dir(run_id: str) -> str:
    """Where this run puts what it replaces until it is done; outside of what readers look through."""
    return f"{paths.run_dir(run_id)}/superseded"


def _moved(files: Sequence[StagedFile], directory: str) -> tuple[StagedFile, ...]:
    return tuple(msgspec.structs.replace(file, path=f"{directory}/{file.path.rsplit('/', 1)[-1]}") for file in files)

"""Staged week → what readers see, all of it or nothing.

Whole directories move by one atomic rename each: rejects, signals, and the events last of the three; then the manifest
is written. A week that is there already (a forced re-run) is first moved aside, so for a moment a reader finds no week,
never a half or a mixed one. Every step looks before it acts: a redelivery after a crash finishes what is missing, and
two consumers at once do each step once.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from libs.common.failpoints import failpoint
from libs.common.lake import Lake, LakeFileExistsError, LakeFileNotFoundError, paths
from libs.common.manifest import LoadManifest, StagedFile
from libs.common.published import PublishedManifest, encode_published
from libs.common.week import Week

KINDS = ("rejects", "signals", "events")
"""In the order of publishing: once the events are there, the rest is."""


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


def published_manifest(
    manifest: LoadManifest, signals: StagedFile, *, run_status: str, reject_rate_pct: Decimal
) -> PublishedManifest:
    """The week's manifest, its files where they will be."""
    week = manifest.week
    return PublishedManifest(
        run_id=manifest.run_id,
        pipeline_name=manifest.pipeline_name,
        week_start=week.start,
        week_end=week.end,
        run_status=run_status,
        rows_valid=manifest.rows_valid,
        rows_rejected=manifest.rows_rejected,
        reject_rate_pct=reject_rate_pct,
        events=_moved(manifest.events, public_dir(week, "events")),
        rejects=_moved(manifest.rejects, public_dir(week, "rejects")),
        signals=_moved((signals,), public_dir(week, "signals")),
    )


async def publish(lake: Lake, manifest: PublishedManifest) -> None:
    """Make the week visible; safe to repeat at any point. Raises LakeError."""
    week, run_id = manifest.week, manifest.run_id
    if await lake.exists(staged_dir(run_id, "events")):
        for kind in KINDS:
            await _replace(lake, run_id, week, kind)
            await failpoint("publishing", kind=kind)
    await lake.put_bytes(encode_published(manifest), paths.curated_manifest(week.start, week.end))
    await lake.delete(_aside_dir(run_id))


async def _replace(lake: Lake, run_id: str, week: Week, kind: str) -> None:
    source, target, aside = staged_dir(run_id, kind), public_dir(week, kind), f"{_aside_dir(run_id)}/{kind}"
    try:
        if await lake.exists(target):
            if await lake.exists(aside):
                # An earlier delivery had moved the old week aside and ours in, and ours was then staged again.
                await lake.delete(target)
            else:
                await lake.rename_directory(target, aside)
        if await lake.exists(source):
            await lake.rename_directory(source, target)
    except (LakeFileNotFoundError, LakeFileExistsError):
        if not await lake.exists(target):
            raise  # not another consumer of the same message that was faster, but something else


def _aside_dir(run_id: str) -> str:
    """Where this run puts what it replaces until it is done."""
    return f"{paths.run_dir(run_id)}/superseded"


def _moved(files: Sequence[StagedFile], directory: str) -> tuple[StagedFile, ...]:
    return tuple(msgspec.structs.replace(file, path=f"{directory}/{file.path.rsplit('/', 1)[-1]}") for file in files)

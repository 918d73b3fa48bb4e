"""A week that was done before: prove that what was published is still there, mend it where possible, and say so."""

from __future__ import annotations

import asyncio

from libs.common.lake import LakeFileNotFoundError, paths, sha256_file
from libs.common.manifest import StagedFile
from libs.common.outcome import Done, Outcome
from libs.common.published import decode_published
from libs.common.service import Kit
from libs.common.state import Run, RunStatus, Stage, StageStatus
from services.extractor.errors import PublishedWeekDamagedError


async def skip_published_week(run: Run, done_before: Run, kit: Kit) -> Outcome:
    """End the run as SKIPPED after every published file has been compared with the manifest.

    A file that is missing or changed is taken again from the old run's staging folder where retention has left one.
    Raises PublishedWeekDamagedError, which names the files, where that cannot be done.
    """
    mended = await _verify(run, done_before, kit)
    if run.options.advance_on_skip:
        await kit.state.advance_checkpoint(run.pipeline_name, run.week, kit.clock.now())
    details = {"skipped_because": done_before.run_id, "mended": mended}
    await kit.state.finish_stage(
        run.run_id, Stage.EXTRACT, StageStatus.SKIPPED, kit.clock.now(), row_count=0, details=details
    )
    await kit.state.end_run(run.run_id, RunStatus.SKIPPED, kit.clock.now())
    return Done(f"the week was done by run {done_before.run_id}")


async def _verify(run: Run, done_before: Run, kit: Kit) -> list[str]:
    path = paths.curated_manifest(run.week.start, run.week.end)
    try:
        manifest = decode_published(await kit.lake.get_bytes(path))
    except LakeFileNotFoundError as error:
        raise PublishedWeekDamagedError(f"Run {done_before.run_id} succeeded, but {path} is missing.") from error
    mended, damaged = [], []
    for file in manifest.files:
        if await _agrees(kit, file.path, file):
            continue
        if await _mend(kit, done_before.run_id, file):
            mended.append(file.path)
        else:
            damaged.append(file.path)
    if damaged:
        raise PublishedWeekDamagedError(
            f"{len(damaged)} of {len(manifest.files)} published files of {run.week} are missing or changed: "
            f"{', '.join(damaged[:5])}."
        )
    if mended:
        kit.log.warning("published_files_mended", files=mended)
    return mended


async def _agrees(kit: Kit, path: str, file: StagedFile) -> bool:
    try:
        async with kit.lake.local_copy(path, kit.scratch) as local:
            digest = await asyncio.to_thread(sha256_file, local)
    except LakeFileNotFoundError:
        return False
    return digest == (file.sha256, file.size_bytes)


async def _mend(kit: Kit, run_id: str, file: StagedFile) -> bool:
    """Copy the staged original over the published file, if it is still there and right."""
    kind = file.path.split("/week_start=")[0].rsplit("/", 1)[-1]
    original = f"{paths.staging_dir(run_id)}/{kind}/{file.path.rsplit('/', 1)[-1]}"
    if not await _agrees(kit, original, file):
        return False
    async with kit.lake.local_copy(original, kit.scratch) as local:
        await kit.lake.put_file(local, file.path)
    return True

"""The end of a run's LOAD stage: the manifest, and `data.loaded`."""

from __future__ import annotations

import hashlib

from libs.common.blobs import url_of
from libs.common.bus.envelope import Outgoing
from libs.common.events.report import Report
from libs.common.failpoints import failpoint
from libs.common.lake import paths
from libs.common.manifest import LoadManifest, StagedFile, encode_manifest
from libs.common.messages import BlobRef, DataLoaded, EventsValidated
from libs.common.service import Kit
from libs.common.state import Stage, StageRow, StageStatus
from services.loader.plan import Group
from services.loader.staging import PartRefs, Staging


async def finish(message: EventsValidated, groups: list[Group], kit: Kit, staging: Staging) -> StageRow:
    """Write the manifest of all groups, all of them merged, and close the stage with `data.loaded` in its row.

    Returns the stage as recorded, which is another's word where another was first. Raises LakeError, StateError.
    """
    manifest = await _manifest(message, groups, kit, staging)
    await staging.remove_others({file.path for file in manifest.events + manifest.rejects})
    announcement = DataLoaded(
        run_id=message.run_id,
        pipeline_name=message.pipeline_name,
        week_start=message.week_start,
        week_end=message.week_end,
        correlation_id=message.correlation_id,
        manifest=await _store(manifest, kit),
        parts_total=manifest.parts_total,
        rows_valid=manifest.rows_valid,
        rows_rejected=manifest.rows_rejected,
    )
    await failpoint("after_work", stage=Stage.LOAD, kind="manifest")
    return await kit.state.finish_stage(
        message.run_id,
        Stage.LOAD,
        StageStatus.SUCCESS,
        kit.clock.now(),
        row_count=manifest.rows_valid,
        rejected_count=manifest.rows_rejected,
        details={"events_files": len(manifest.events), "rejects_files": len(manifest.rejects)},
        outgoing=Outgoing.of(announcement).to_json(),
    )


async def _manifest(message: EventsValidated, groups: list[Group], kit: Kit, staging: Staging) -> LoadManifest:
    rows = {row.part: row for row in await kit.state.parts(message.run_id, Stage.LOAD)}
    staged = [PartRefs.of(rows[group.first]).group for group in groups]
    events = tuple(group.events for group in staged if group is not None and group.events is not None)
    rejects = tuple(group.rejects for group in staged if group is not None and group.rejects is not None)
    report = Report.sum(
        (row.row_count, row.rejected_count, row.details)
        for row in await kit.state.parts(message.run_id, Stage.VALIDATE)
    )
    return LoadManifest(
        run_id=message.run_id,
        pipeline_name=message.pipeline_name,
        week_start=message.week_start,
        week_end=message.week_end,
        parts_total=len(rows),
        rows_valid=_rows(events),
        rows_rejected=_rows(rejects),
        reject_counts=report.details["reject_counts"],
        unknown_fields=report.details["unknown_fields"],
        events=events or (await staging.write_empty(),),
        rejects=rejects,
    )


def _rows(files: tuple[StagedFile, ...]) -> int:
    return sum(file.rows for file in files)


async def _store(manifest: LoadManifest, kit: Kit) -> BlobRef:
    """Put the manifest into the lake; `rows` of its reference is the number of files that it names."""
    data, path = encode_manifest(manifest), paths.load_manifest(manifest.run_id)
    await kit.lake.put_bytes(data, path)
    return BlobRef(
        url=url_of(kit.lake, path),
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        rows=len(manifest.events) + len(manifest.rejects),
    )

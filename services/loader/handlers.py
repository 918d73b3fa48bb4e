"""`events.validated` → parts are noted, complete groups staged, and the whole week announced once as `data.loaded`.

Whoever comes last finishes: each consumer commits its own step first and looks at the whole afterwards, so at least one
of them sees everything done. If two do, both write the same bytes, and only one message can be recorded with the stage.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import msgspec

from libs.common.blobs import url_of
from libs.common.bus.envelope import Outgoing
from libs.common.failpoints import failpoint
from libs.common.lake import LakeFileNotFoundError, paths
from libs.common.manifest import LoadManifest, encode_manifest
from libs.common.messages import BlobRef, DataLoaded, EventsValidated
from libs.common.outcome import Done, Outcome
from libs.common.service import Kit
from libs.common.state import PartRow, Run, Stage, StageStatus
from services.loader.groups import (
    Group,
    decode_group,
    encode_group,
    group_of,
    groups_in,
    is_complete,
    parts_of,
    record_path,
)
from services.loader.settings import LoaderSettings
from services.loader.staging import stage_group


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What the handler works with."""

    kit: Kit
    settings: LoaderSettings


async def handle(message: EventsValidated, deps: Deps) -> Outcome:
    """Note the part; stage its group if that is complete now; announce the week if all groups are."""
    kit = deps.kit
    run = await kit.state.get_run(message.run_id)
    if run is None:
        return Done("the run is unknown")
    stage = await kit.state.start_stage(run.run_id, Stage.LOAD, kit.clock.now())
    if stage.status is StageStatus.SUCCESS:
        await kit.outbox.release_stage(stage)
        return Done("the week was loaded before")
    await kit.state.record_part(
        run.run_id,
        Stage.LOAD,
        message.part,
        kit.clock.now(),
        row_count=message.valid.rows,
        rejected_count=message.rejects.rows,
        details={
            "valid": msgspec.to_builtins(message.valid),
            "rejects": msgspec.to_builtins(message.rejects),
            "reject_counts": message.reject_counts,
        },
    )
    extract = await kit.state.get_stage(run.run_id, Stage.EXTRACT)
    parts_total = extract.parts_total if extract else None
    parts = {row.part: row for row in await kit.state.parts(run.run_id, Stage.LOAD)}
    group, size = group_of(message.part, deps.settings.load_group_parts), deps.settings.load_group_parts
    if not is_complete(group, size, parts_total, parts):
        return Done("the group waits for further parts")
    await _stage_group(run, group, [parts[part] for part in parts_of(group, size, parts_total)], deps)
    groups = await _all_groups(run, parts_total, deps)
    if groups is None or parts_total is None:
        return Done("the week waits for further groups")
    await _announce(run, list(parts.values()), groups, kit)
    return Done()


async def _stage_group(run: Run, index: int, parts: list[PartRow], deps: Deps) -> None:
    """Lay a complete group out, unless that was done."""
    kit, path = deps.kit, record_path(run.run_id, index)
    if await kit.lake.exists(path):
        return
    group = await stage_group(
        run.run_id,
        index,
        [msgspec.convert(part.details["valid"], BlobRef) for part in parts],
        [msgspec.convert(part.details["rejects"], BlobRef) for part in parts],
        kit,
        row_group_rows=deps.settings.load_row_group_rows,
    )
    await failpoint("after_work", stage=Stage.LOAD, part=parts[-1].part)
    await kit.lake.put_bytes(encode_group(group), path)


async def _all_groups(run: Run, parts_total: int | None, deps: Deps) -> list[Group] | None:
    """Every group of the week, or None while one is missing."""
    if parts_total is None:
        return None
    groups = []
    for index in groups_in(parts_total, deps.settings.load_group_parts):
        try:
            groups.append(decode_group(await deps.kit.lake.get_bytes(record_path(run.run_id, index))))
        except LakeFileNotFoundError:
            return None
    return groups


async def _announce(run: Run, parts: list[PartRow], groups: list[Group], kit: Kit) -> None:
    """Write the load manifest and record, then publish, the one `data.loaded` of the run."""
    rejects: Counter[str] = Counter()
    for part in parts:
        rejects.update(part.details["reject_counts"])
    manifest = LoadManifest(
        run_id=run.run_id,
        pipeline_name=run.pipeline_name,
        week_start=run.week.start,
        week_end=run.week.end,
        parts_total=len(parts),
        rows_valid=sum(group.events.rows for group in groups),
        rows_rejected=sum(group.rejects.rows for group in groups if group.rejects),
        reject_counts=dict(sorted(rejects.items())),
        unknown_fields=await _unknown_fields(run, kit),
        events=tuple(group.events for group in groups),
        rejects=tuple(group.rejects for group in groups if group.rejects),
    )
    data, path = encode_manifest(manifest), paths.load_manifest(run.run_id)
    await kit.lake.put_bytes(data, path)
    loaded = DataLoaded(
        run_id=run.run_id,
        pipeline_name=run.pipeline_name,
        week_start=run.week.start,
        week_end=run.week.end,
        correlation_id=run.correlation_id,
        manifest=BlobRef(
            url=url_of(kit.lake, path),
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            rows=len(manifest.events) + len(manifest.rejects),
        ),
        parts_total=manifest.parts_total,
        rows_valid=manifest.rows_valid,
        rows_rejected=manifest.rows_rejected,
    )
    stage = await kit.state.finish_stage(
        run.run_id,
        Stage.LOAD,
        StageStatus.SUCCESS,
        kit.clock.now(),
        row_count=manifest.rows_valid,
        rejected_count=manifest.rows_rejected,
        details={"files": len(manifest.events), "reject_files": len(manifest.rejects)},
        outgoing=Outgoing.of(loaded).to_json(),
    )
    await kit.outbox.release_stage(stage)


async def _unknown_fields(run: Run, kit: Kit) -> dict[str, dict[str, int]]:
    """Drift over all parts, as the validator counted it: field → JSON type → records."""
    total: dict[str, Counter[str]] = {}
    for part in await kit.state.parts(run.run_id, Stage.VALIDATE):
        for field, types in part.details.get("unknown_fields", {}).items():
            total.setdefault(field, Counter()).update(types)
    return {field: dict(sorted(types.items())) for field, types in sorted(total.items())}

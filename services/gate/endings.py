"""The three ends of a judged week, and what follows from the good one."""

from __future__ import annotations

import hashlib

import msgspec

from libs.common.alerts import AlertKind, tell_of_end
from libs.common.blobs import url_of
from libs.common.bus.envelope import Outgoing
from libs.common.failpoints import failpoint
from libs.common.lake import paths
from libs.common.manifest import LoadManifest, StagedFile
from libs.common.messages import BlobRef, GatePassed
from libs.common.published import PublishedManifest
from libs.common.service import Kit
from libs.common.state import Checkpoint, Failure, Run, RunStatus, Stage, StageRow, StageStatus, WeekDoneError
from services.gate.publishing import publish, published_manifest
from services.gate.verdict import Verdict, encode_verdict, verdict_path


async def fail(run: Run, manifest: LoadManifest, verdict: Verdict, failure: Failure, kit: Kit) -> None:
    """Record the figures and end the run; the rejects stay where they were staged, for people to look at."""
    now = kit.clock.now()
    files: dict[str, list[str]] = {"events": [], "rejects": [file.path for file in manifest.rejects], "signals": []}
    await kit.state.add_run_counts(
        run.run_id,
        rows_output=0,
        rows_rejected=verdict.rows_rejected,
        reject_rate_pct=verdict.reject_rate_pct,
    )
    await kit.state.finish_stage(
        run.run_id,
        Stage.QUALITY_GATE,
        StageStatus.FAILED,
        now,
        row_count=verdict.rows_valid,
        rejected_count=verdict.rows_rejected,
        details=verdict.details(manifest, files),
        failure=failure,
    )
    if await kit.state.end_run(run.run_id, RunStatus.FAILED, now, failure, Stage.QUALITY_GATE):
        await tell_of_end(kit.alerts, kit.state, run, Stage.QUALITY_GATE, failure, AlertKind.RUN_FAILED, now)


async def rehearse(run: Run, manifest: LoadManifest, verdict: Verdict, signals: StagedFile, kit: Kit) -> None:
    """End a dry run as it would have ended; nothing moves, and what would have changed is in the stage's details."""
    replaced = await kit.state.successful_run(run.pipeline_name, run.week)
    checkpoint = await kit.state.checkpoint(run.pipeline_name)
    moves_checkpoint = checkpoint is None or checkpoint.next_week == run.week
    would_change = {
        "files": _paths_by_kind(published_manifest(manifest, verdict, signals)),
        "replaced_run": None if replaced is None else replaced.run_id,
        "replaced_rows": None if replaced is None else replaced.rows_output,
        "next_week": str(run.week.next()) if moves_checkpoint else None,
    }
    staged = {
        "events": [file.path for file in manifest.events],
        "rejects": [file.path for file in manifest.rejects],
        "signals": [signals.path],
    }
    details = verdict.details(manifest, staged) | {"dry_run": True, "would_change": would_change}
    await _commit(run, verdict, kit, details)


async def publish_week(run: Run, manifest: LoadManifest, verdict: Verdict, signals: StagedFile, kit: Kit) -> StageRow:
    """Make the week visible, then commit run, stage and checkpoint with the announcement, which is not sent yet.

    Raises WeekDoneError where the week succeeded meanwhile and this run was not forced; WeekIncompleteError, LakeError,
    StateError.
    """
    done_before = await kit.state.successful_run(run.pipeline_name, run.week)
    if done_before is not None and done_before.run_id != run.run_id and not run.options.force:
        raise WeekDoneError(run.week, done_before.run_id)
    public = published_manifest(manifest, verdict, signals)
    await publish(kit.lake, public)
    await failpoint("after_work", stage=Stage.QUALITY_GATE)
    return await _commit(
        run,
        verdict,
        kit,
        verdict.details(manifest, _paths_by_kind(public)),
        output_path=paths.curated_manifest(run.week.start, run.week.end),
        outgoing=_announcement(run, verdict, public.signals[0], kit),
    )


async def follow_up(run: Run, stage: StageRow, kit: Kit, *, keep_scratch: bool) -> None:
    """What follows from a committed pass, safe to repeat: mirror, announcement, end of the run's private files."""
    if run.options.dry_run:
        return
    checkpoint = await kit.state.checkpoint(run.pipeline_name)
    if checkpoint is not None:
        await kit.lake.put_bytes(_mirror(checkpoint), paths.CHECKPOINT_MIRROR)
    await kit.outbox.release_stage(stage)
    if not keep_scratch:
        for directory in (paths.raw_dir, paths.validated_dir, paths.rejects_dir, paths.staging_dir):
            await kit.lake.delete(directory(run.run_id))


async def _commit(
    run: Run,
    verdict: Verdict,
    kit: Kit,
    details: dict[str, object],
    *,
    output_path: str | None = None,
    outgoing: GatePassed | None = None,
) -> StageRow:
    """Run, stage and checkpoint in one transaction."""
    commit = await kit.state.complete_gate(
        run.run_id,
        kit.clock.now(),
        status=verdict.status,
        rows_output=verdict.rows_valid,
        rows_rejected=verdict.rows_rejected,
        reject_rate_pct=verdict.reject_rate_pct,
        output_path=output_path,
        stage_details=details,
        outgoing=None if outgoing is None else Outgoing.of(outgoing).to_json(),
    )
    return commit.stage


def _announcement(run: Run, verdict: Verdict, signals: StagedFile, kit: Kit) -> GatePassed:
    checks, path = encode_verdict(verdict), verdict_path(run.run_id)
    return GatePassed(
        run_id=run.run_id,
        pipeline_name=run.pipeline_name,
        week_start=run.week.start,
        week_end=run.week.end,
        correlation_id=run.correlation_id,
        signals=BlobRef(
            url=url_of(kit.lake, signals.path),
            sha256=signals.sha256,
            size_bytes=signals.size_bytes,
            rows=signals.rows,
        ),
        run_status=verdict.status.value,
        checks=BlobRef(
            url=url_of(kit.lake, path),
            sha256=hashlib.sha256(checks).hexdigest(),
            size_bytes=len(checks),
            rows=len(verdict.checks),
        ),
        full_sync=run.options.full_sync,
    )


def _paths_by_kind(public: PublishedManifest) -> dict[str, list[str]]:
    return {
        "events": [file.path for file in public.events],
        "rejects": [file.path for file in public.rejects],
        "signals": [file.path for file in public.signals],
    }


def _mirror(checkpoint: Checkpoint) -> bytes:
    """The checkpoint for a person to read; never read back as truth."""
    last, following = checkpoint.last_week, checkpoint.next_week
    content = {
        "pipeline_name": checkpoint.pipeline_name,
        "last_successful_week_start": last.start if last else None,
        "last_successful_week_end": last.end if last else None,
        "next_week_start": following.start if following else None,
        "next_week_end": following.end if following else None,
        "updated_at_utc": checkpoint.updated_at,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"

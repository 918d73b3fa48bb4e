"""`data.loaded` → the week is audited; if it passes it is aggregated, published, committed and announced."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from libs.common.alerts import AlertKind
from libs.common.blobs import open_blob, url_of
from libs.common.bus.envelope import Outgoing
from libs.common.failpoints import failpoint
from libs.common.lake import paths, sha256_file
from libs.common.manifest import LoadManifest, StagedFile, decode_manifest
from libs.common.messages import BlobRef, DataLoaded, GatePassed
from libs.common.outcome import Done, Outcome
from libs.common.service import Kit
from libs.common.state import Checkpoint, Run, RunStatus, Stage, StageRow, StageStatus, WeekDoneError
from services.gate.adapters import WeekAudit
from services.gate.audit import open_audit, run_checks
from services.gate.decision import decide, reject_rate_pct
from services.gate.publishing import KINDS, publish, published_manifest
from services.gate.rules import Rule
from services.gate.settings import GateSettings
from services.gate.signals import signals_query
from services.gate.verdict import Verdict, encode_verdict, read_passed_verdict, verdict_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What the handler works with."""

    kit: Kit
    settings: GateSettings
    rules: tuple[Rule, ...]


async def handle(message: DataLoaded, deps: Deps) -> Outcome:
    """Audit, then publish or fail. A week that fails its rules is a normal end, so the message is done either way.

    Raises WeekDoneError where the week succeeded meanwhile and this run was not forced; lake, state and rule errors.
    """
    kit = deps.kit
    run = await kit.state.get_run(message.run_id)
    if run is None:
        return Done("the run is unknown")
    stage = await kit.state.start_stage(run.run_id, Stage.QUALITY_GATE, kit.clock.now())
    if stage.status is StageStatus.SUCCESS:
        await _after_the_commit(run, stage, deps)
        return Done("the gate was passed before")

    async with open_blob(kit.lake, message.manifest, kit.scratch) as local:
        manifest = decode_manifest(await asyncio.to_thread(local.read_bytes))
    verdict = await read_passed_verdict(kit.lake, run.run_id) or await _audit(run, manifest, deps)
    if verdict.failure is not None:
        await _fail(run, manifest, verdict, kit)
    elif run.options.dry_run:
        await _rehearse(run, manifest, verdict, kit)
    else:
        await _pass(run, manifest, verdict, deps)
    return Done(f"the decision is {verdict.status}")


async def _audit(run: Run, manifest: LoadManifest, deps: Deps) -> Verdict:
    """Apply the rules and, if nothing objects, stage the signals; the verdict is in the lake when this returns."""
    kit = deps.kit
    async with open_audit(run, manifest, kit, deps.settings) as audit:
        checks = await run_checks(audit, deps.rules, run, kit, deps.settings)
        decision = decide(checks, manifest.rows_rejected)
        signals = None if decision.failure else await _stage_signals(audit, run, deps)
        profile = await asyncio.to_thread(audit.profile, run.week)
    verdict = Verdict(
        run_id=run.run_id,
        status=decision.status,
        failure=decision.failure,
        checks=tuple(checks),
        rows_valid=manifest.rows_valid,
        rows_rejected=manifest.rows_rejected,
        reject_rate_pct=reject_rate_pct(manifest.rows_valid, manifest.rows_rejected),
        profile=profile,
        signals=signals,
    )
    await kit.lake.put_bytes(encode_verdict(verdict), verdict_path(run.run_id))
    return verdict


async def _stage_signals(audit: WeekAudit, run: Run, deps: Deps) -> StagedFile:
    kit, path = deps.kit, paths.staged_signals_file(run.run_id)
    local: Path = kit.scratch / f"{run.run_id}-signals.parquet"
    try:
        rows = await asyncio.to_thread(audit.write, signals_query(deps.settings.customer_tiers), local)
        digest = await asyncio.to_thread(sha256_file, local)
        await kit.lake.put_file(local, path)
    finally:
        await asyncio.to_thread(local.unlink, missing_ok=True)
    return StagedFile(path=path, sha256=digest.sha256, size_bytes=digest.size_bytes, rows=rows)


async def _fail(run: Run, manifest: LoadManifest, verdict: Verdict, kit: Kit) -> None:
    """Record the figures and end the run; the rejects stay where they were staged, for people to look at."""
    now, failure = kit.clock.now(), verdict.failure
    if failure is None:
        raise AssertionError("a failed verdict says why")
    files = {"events": [], "rejects": [file.path for file in manifest.rejects], "signals": []}
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
        await kit.alerts.send(run, Stage.QUALITY_GATE, failure, AlertKind.RUN_FAILED)


async def _rehearse(run: Run, manifest: LoadManifest, verdict: Verdict, kit: Kit) -> None:
    """End a dry run as it would have ended; nothing moves, and what would have been published is listed."""
    staged = {kind: [file.path for file in _files(manifest, verdict, kind)] for kind in KINDS}
    await _commit(run, verdict, kit, verdict.details(manifest, staged) | {"dry_run": True}, output_path=None)


async def _pass(run: Run, manifest: LoadManifest, verdict: Verdict, deps: Deps) -> None:
    kit = deps.kit
    done_before = await kit.state.successful_run(run.pipeline_name, run.week)
    if done_before is not None and done_before.run_id != run.run_id and not run.options.force:
        raise WeekDoneError(run.week, done_before.run_id)
    if verdict.signals is None:
        raise AssertionError("a passed verdict has signals")
    public = published_manifest(
        manifest, verdict.signals, run_status=verdict.status.value, reject_rate_pct=verdict.reject_rate_pct
    )
    await publish(kit.lake, public)
    await failpoint("after_work", stage=Stage.QUALITY_GATE)
    files = {kind: [file.path for file in getattr(public, kind)] for kind in KINDS}
    stage = await _commit(
        run,
        verdict,
        kit,
        verdict.details(manifest, files),
        output_path=paths.curated_manifest(run.week.start, run.week.end),
        outgoing=await _announcement(run, verdict, public.signals[0], kit),
    )
    await _after_the_commit(run, stage, deps)


async def _announcement(run: Run, verdict: Verdict, signals: StagedFile, kit: Kit) -> GatePassed:
    checks = encode_verdict(verdict)
    path = verdict_path(run.run_id)
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


async def _commit(
    run: Run,
    verdict: Verdict,
    kit: Kit,
    details: dict[str, object],
    *,
    output_path: str | None,
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


async def _after_the_commit(run: Run, stage: StageRow, deps: Deps) -> None:
    """What follows from a committed pass, safe to repeat: mirror, announcement, end of the scratch files."""
    kit = deps.kit
    if run.options.dry_run:
        return
    checkpoint = await kit.state.checkpoint(run.pipeline_name)
    if checkpoint is not None:
        await kit.lake.put_bytes(_mirror(checkpoint), paths.CHECKPOINT_MIRROR)
    await kit.outbox.release_stage(stage)
    if not deps.settings.gate_keep_scratch:
        for directory in (paths.raw_dir, paths.validated_dir, paths.rejects_dir, paths.staging_dir):
            await kit.lake.delete(directory(run.run_id))


def _files(manifest: LoadManifest, verdict: Verdict, kind: str) -> tuple[StagedFile, ...]:
    staged = {"events": manifest.events, "rejects": manifest.rejects, "signals": ()}
    return (verdict.signals,) if kind == "signals" and verdict.signals else staged[kind]


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

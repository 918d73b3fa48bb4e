"""The whole week under the rules: checks, decision and, if nothing objects, the staged signals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from libs.common.blobs import BlobMissingError
from libs.common.lake import Lake, LakeFileNotFoundError, paths, sha256_file
from libs.common.manifest import LoadManifest, StagedFile
from libs.common.scratch import scratch_folder
from libs.common.service import Kit
from libs.common.state import Run
from services.gate.adapters import WeekAudit
from services.gate.audit import open_audit, run_checks
from services.gate.decision import decide, reject_rate_pct
from services.gate.rules import Rule
from services.gate.settings import GateSettings, Tiers
from services.gate.signals import signals_query, slices
from services.gate.verdict import Verdict, encode_verdict, verdict_path


async def judge(run: Run, manifest: LoadManifest, rules: Sequence[Rule], kit: Kit, settings: GateSettings) -> Verdict:
    """Apply the rules; the verdict and all that it names are in the lake when this returns.

    Raises RuleError, AuditResourcesError, ScratchFullError, BlobMissingError, LakeError.
    """
    # A folder of its own: what a cancelled delivery of this message still writes must not get in the way.
    with scratch_folder(kit.scratch, "audit") as scratch:
        async with open_audit(run, manifest, kit, settings, scratch) as audit:
            checks = await run_checks(audit, rules, run, kit.lake, settings, scratch)
            decision = decide(checks, manifest.rows_rejected)
            tiers = settings.customer_tiers
            signals = None if decision.failure else await _stage_signals(audit, run, kit.lake, tiers, scratch)
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


async def _stage_signals(audit: WeekAudit, run: Run, lake: Lake, tiers: Tiers, scratch: Path) -> StagedFile:
    path, local = paths.staged_signals_file(run.run_id), scratch / "signals.parquet"
    rows = await asyncio.to_thread(_write_signals, audit, tiers, local)
    digest = await asyncio.to_thread(sha256_file, local)
    try:
        await lake.put_file(local, path)
    except LakeFileNotFoundError as error:
        # Transient: another delivery of the message has moved the folder under the file.
        raise BlobMissingError(f"{path} was moved while it was written.") from error
    return StagedFile(path=path, sha256=digest.sha256, size_bytes=digest.size_bytes, rows=rows)


def _write_signals(audit: WeekAudit, tiers: Tiers, target: Path) -> int:
    """A slice of the customers at a time, so that memory does not grow with the week."""
    return audit.write((signals_query(tiers, customers) for customers in slices(audit.customers())), target)

"""The whole week under the rules: checks, decision and, if nothing objects, the staged signals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from libs.common.lake import paths, sha256_file
from libs.common.manifest import LoadManifest, StagedFile
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

    Raises RuleError, LakeError.
    """
    async with open_audit(run, manifest, kit, settings) as audit:
        checks = await run_checks(audit, rules, run, kit, settings)
        decision = decide(checks, manifest.rows_rejected)
        signals = None if decision.failure else await _stage_signals(audit, run, kit, settings.customer_tiers)
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


async def _stage_signals(audit: WeekAudit, run: Run, kit: Kit, tiers: Tiers) -> StagedFile:
    path = paths.staged_signals_file(run.run_id)
    local: Path = kit.scratch / f"{run.run_id}-signals.parquet"
    try:
        rows = await asyncio.to_thread(_write_signals, audit, tiers, local)
        digest = await asyncio.to_thread(sha256_file, local)
        await kit.lake.put_file(local, path)
    finally:
        await asyncio.to_thread(local.unlink, missing_ok=True)
    return StagedFile(path=path, sha256=digest.sha256, size_bytes=digest.size_bytes, rows=rows)


def _write_signals(audit: WeekAudit, tiers: Tiers, target: Path) -> int:
    """A slice of the customers at a time, so that memory does not grow with the week."""
    return audit.write((signals_query(tiers, customers) for customers in slices(audit.customers())), target)

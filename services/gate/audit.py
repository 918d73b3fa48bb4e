"""A staged week through the rules: files at hand and verified, every rule applied, failing rows kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from libs.common.blobs import BlobMissingError
from libs.common.lake import Lake, LakeFileNotFoundError, paths, sha256_file
from libs.common.manifest import LoadManifest, StagedFile
from libs.common.service import Kit
from libs.common.state import Run, Stage
from services.gate.adapters import AuditedFile, WeekAudit
from services.gate.rules import Check, Rule, apply
from services.gate.settings import GateSettings

_RUNS_LOOKED_THROUGH: Final = 500
"""The newest ones: years, for a weekly pipeline. A back-fill of a week before all of them is compared with nothing."""


@asynccontextmanager
async def open_audit(
    run: Run, manifest: LoadManifest, kit: Kit, settings: GateSettings, scratch: Path
) -> AsyncIterator[WeekAudit]:
    """The week's tables over local copies of the staged files, for as long as the context is open.

    Raises BlobMissingError, AuditResourcesError, LakeError, StateError.
    """
    async with AsyncExitStack() as stack:
        events = [await _audited(stack, kit.lake, file, scratch) for file in manifest.events]
        rejects = [await _audited(stack, kit.lake, file, scratch) for file in manifest.rejects]
        counts = await _counts(run, manifest, kit)
        history = await _history(run, kit, settings.gate_history_weeks)
        audit = stack.enter_context(await asyncio.to_thread(WeekAudit, settings, scratch))
        await asyncio.to_thread(audit.load, run.week, run.requested_at, events, rejects, counts)
        await asyncio.to_thread(audit.load_history, history)
        yield audit


async def run_checks(
    audit: WeekAudit, rules: Sequence[Rule], run: Run, lake: Lake, settings: GateSettings, scratch: Path
) -> list[Check]:
    """Apply every rule; for one that fails, store a sample of the rows at fault where the rule can name them.

    Raises RuleError, AuditResourcesError, LakeError.
    """
    checks = []
    for rule in rules:
        check = apply(rule, await asyncio.to_thread(audit.value, rule))
        if not check.passed and rule.failing_rows is not None:
            local = scratch / f"{rule.name}.parquet"
            path = f"{paths.run_dir(run.run_id)}/checks/{rule.name}.parquet"
            total = await asyncio.to_thread(audit.sample, rule, settings.gate_sample_rows, local)
            await lake.put_file(local, path)
            check = msgspec.structs.replace(check, failing_rows=total, sample=path)
        checks.append(check)
    return checks


async def _audited(stack: AsyncExitStack, lake: Lake, file: StagedFile, scratch: Path) -> AuditedFile:
    try:
        local: Path = await stack.enter_async_context(lake.local_copy(file.path, scratch))
    except LakeFileNotFoundError as error:
        # Transient: another delivery of the message may have moved it, and the next one will see that.
        raise BlobMissingError(f"The staged file {file.path} is not there.") from error
    digest = await asyncio.to_thread(sha256_file, local)
    return AuditedFile(file.path, local, file.sha256, digest.sha256, file.rows)


async def _counts(run: Run, manifest: LoadManifest, kit: Kit) -> dict[str, int | None]:
    """What each stage says it counted."""
    extract = await kit.state.get_stage(run.run_id, Stage.EXTRACT)
    fetched = await kit.state.part_totals(run.run_id, Stage.EXTRACT)
    validated = await kit.state.part_totals(run.run_id, Stage.VALIDATE)
    return {
        "rows_fetched": fetched.row_count,
        "validate_valid": validated.row_count,
        "validate_rejected": validated.rejected_count,
        "manifest_valid": manifest.rows_valid,
        "manifest_rejected": manifest.rows_rejected,
        "api_total": extract.details.get("api_total") if extract else None,
    }


async def _history(run: Run, kit: Kit, weeks: int) -> list[dict[str, Any]]:
    """The profiles of the last passed weeks before this one that are as long as it is, newest first."""
    passed = [
        past
        for past in await kit.state.runs(run.pipeline_name, limit=_RUNS_LOOKED_THROUGH)
        if past.status.is_success
        and not past.options.dry_run
        and past.week.end < run.week.start
        and past.week.days == run.week.days
    ]
    profiles: list[dict[str, Any]] = []
    for past in sorted(passed, key=lambda past: past.week, reverse=True)[:weeks]:
        stage = await kit.state.get_stage(past.run_id, Stage.QUALITY_GATE)
        if stage is not None and "profile" in stage.details:
            profiles.append(stage.details["profile"])
    return profiles

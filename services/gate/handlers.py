"""`data.loaded` → the week is judged, and ends as failed, rehearsed, or published and announced."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from libs.common.blobs import open_blob
from libs.common.manifest import LoadManifest, decode_manifest
from libs.common.messages import DataLoaded
from libs.common.outcome import Done, Outcome
from libs.common.service import Kit
from libs.common.state import Stage, StageStatus
from services.gate import endings
from services.gate.judging import judge
from services.gate.rules import Rule
from services.gate.settings import GateSettings
from services.gate.verdict import read_passed_verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What the handler works with."""

    kit: Kit
    settings: GateSettings
    rules: tuple[Rule, ...]


async def handle(message: DataLoaded, deps: Deps) -> Outcome:
    """Judge, then publish or fail. A week that fails its rules is a normal end, so the message is done either way.

    Raises WeekDoneError where the week succeeded meanwhile and this run was not forced; lake, state and rule errors.
    """
    kit, settings = deps.kit, deps.settings
    run = await kit.state.get_run(message.run_id)
    if run is None:
        return Done("the run is unknown")
    stage = await kit.state.start_stage(run.run_id, Stage.QUALITY_GATE, kit.clock.now())
    if stage.status is StageStatus.SUCCESS:
        await endings.follow_up(run, stage, kit, keep_scratch=settings.gate_keep_scratch)
        return Done("the gate was passed before")

    manifest = await _read_manifest(message, kit)
    # Once signals and files have begun to move there is nothing left to judge: a pass stays a pass.
    verdict = await read_passed_verdict(kit.lake, run.run_id)
    if verdict is None:
        verdict = await judge(run, manifest, deps.rules, kit, settings)
    if verdict.failure is not None:
        await endings.fail(run, manifest, verdict, verdict.failure, kit)
    elif verdict.signals is None:
        raise AssertionError("a passed verdict has signals")
    elif run.options.dry_run:
        await endings.rehearse(run, manifest, verdict, verdict.signals, kit)
    else:
        stage = await endings.publish_week(run, manifest, verdict, verdict.signals, kit)
        await endings.follow_up(run, stage, kit, keep_scratch=settings.gate_keep_scratch)
    return Done(f"the decision is {verdict.status}")


async def _read_manifest(message: DataLoaded, kit: Kit) -> LoadManifest:
    async with open_blob(kit.lake, message.manifest, kit.scratch) as local:
        return decode_manifest(await asyncio.to_thread(local.read_bytes))

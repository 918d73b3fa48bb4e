"""What a week ends as, and what moves when it does."""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec
import pytest

from libs.common.blobs import open_blob
from libs.common.lake import paths
from libs.common.outcome import Done
from libs.common.published import decode_published
from libs.common.state import RunStatus, Stage, StageStatus, WeekBusyError, WeekDoneError
from libs.common.week import Week
from tests.integration.gate.conftest import WEEK, Gate, Staged

TOLERANT = {"reject_threshold_pct": 12.5, "min_success_rate_pct": 87.5}
GENEROUS = {"reject_threshold_pct": 50, "min_success_rate_pct": 50}
NEXT = WEEK.next()


async def next_week(gate: Gate) -> Week | None:
    checkpoint = await gate.kit.state.checkpoint("p")
    return checkpoint.next_week if checkpoint else None


@pytest.mark.parametrize(
    ("rejects", "settings", "status"),
    [
        (0, {}, RunStatus.SUCCESS),
        (1, TOLERANT, RunStatus.SUCCESS_WITH_REJECTS),
        (2, TOLERANT, RunStatus.FAILED),
    ],
)
async def test_rejects_decide_the_end(
    gate_on_each: Gate, rejects: int, settings: dict[str, float], status: RunStatus
) -> None:
    run = await gate_on_each.gated("r1", Staged(events=gate_on_each.whole_week(), rejects=rejects), settings=settings)
    assert run.status is status
    assert run.rows_rejected == rejects
    assert await gate_on_each.kit.lake.exists("curated") == status.is_success


async def test_a_passed_week_is_published_recorded_mirrored_and_announced(gate_on_each: Gate) -> None:
    gate = gate_on_each
    run = await gate.gated("r1", Staged(events=gate.whole_week(), rejects=1, files=3), settings=TOLERANT)

    published = await gate.published()
    manifest = decode_published(await gate.kit.lake.get_bytes(paths.curated_manifest(WEEK.start, WEEK.end)))
    assert {file.path: file.sha256 for file in manifest.files} == {
        path: sha256 for path, sha256 in published.items() if path.endswith(".parquet")
    }
    assert [len(manifest.events), len(manifest.rejects), len(manifest.signals)] == [3, 1, 1]
    assert (manifest.run_id, manifest.run_status, manifest.rows_valid) == ("r1", "SUCCESS_WITH_REJECTS", 7)
    assert (run.rows_output, run.output_path) == (7, paths.curated_manifest(WEEK.start, WEEK.end))
    assert await next_week(gate) == NEXT
    mirror = json.loads(await gate.kit.lake.get_bytes(paths.CHECKPOINT_MIRROR))
    assert mirror["next_week_start"] == str(NEXT.start)
    (announced,) = gate.announced()
    assert (announced.run_status, announced.signals.rows) == ("SUCCESS_WITH_REJECTS", 7)
    for ref in (announced.signals, announced.checks):
        async with open_blob(gate.kit.lake, ref, gate.kit.scratch):
            pass
    assert {path.split("/")[2] for path in await gate.files("runs/r1")} == {"checks"}


async def test_signals_are_one_file_sorted_by_customer(gate: Gate) -> None:
    users = ("ü", "b", "a", "B", "a ")
    await gate.gated(
        "r1", Staged(events=[gate.event(user_id=user, day=day) for day in range(7) for user in users], files=4)
    )
    rows = await gate.rows(paths.signals_file(WEEK.start, WEEK.end))
    assert [row["external_customer_id"] for row in rows] == ["B", "a", "a ", "b", "ü"]


@pytest.mark.parametrize(("settings", "status"), [({}, "FAILED"), ({"min_records": 0}, "SUCCESS")])
async def test_a_week_without_events_fails_unless_none_are_asked_for(
    gate: Gate, settings: dict[str, int], status: str
) -> None:
    run = await gate.gated("r1", Staged(events=[]), settings=settings)
    assert run.status.value == status
    failed = {name for name, check in (await gate.failed_checks("r1")).items() if check["severity"] == "error"}
    assert failed == {"min_records"} - settings.keys()


async def test_an_empty_week_that_passes_is_published_as_files_without_rows(gate: Gate) -> None:
    await gate.gated("r1", Staged(events=[]), settings={"min_records": 0})
    events = paths.curated_events_dir(WEEK.start, WEEK.end)
    (file,) = [path for path in await gate.files(events) if path.endswith(".parquet")]
    assert await gate.rows(file) == []
    assert await gate.rows(paths.signals_file(WEEK.start, WEEK.end)) == []
    assert await next_week(gate) == NEXT


async def test_a_dry_run_publishes_nothing_and_tells_what_would_change(gate: Gate) -> None:
    await gate.gated("old", Staged(events=gate.whole_week()))
    before, checkpoint, sent = await gate.published(), await next_week(gate), len(gate.publisher.sent)
    run = await gate.gated("dry", Staged(events=gate.whole_week()[:6], rejects=1), dry_run=True, settings=GENEROUS)

    assert (run.status, run.rows_output) == (RunStatus.SUCCESS_WITH_REJECTS, 6)
    assert (await gate.published(), await next_week(gate), len(gate.publisher.sent)) == (before, checkpoint, sent)
    assert (await gate.run("old")).status is RunStatus.SUCCESS
    details = (await gate.stage("dry")).details
    assert set(await gate.failed_checks("dry")) == {"every_day_has_events"}
    assert details["would_change"] == {
        "files": {
            "events": [f"{paths.curated_events_dir(WEEK.start, WEEK.end)}/part-00000-dry.parquet"],
            "rejects": [f"{paths.curated_rejects_dir(WEEK.start, WEEK.end)}/part-00000-dry.parquet"],
            "signals": [paths.signals_file(WEEK.start, WEEK.end)],
        },
        "replaced_run": "old",
        "replaced_rows": 7,
        "next_week": None,
    }
    assert set(await gate.files("runs/dry/staging")) >= {path for kind in details["files"].values() for path in kind}


async def test_a_dry_run_of_the_expected_week_tells_where_the_checkpoint_would_go(gate: Gate) -> None:
    await gate.gated("old", Staged(events=gate.whole_week()))
    await gate.gated("dry", Staged(events=gate.whole_week(NEXT)), NEXT, dry_run=True)
    would_change = (await gate.stage("dry")).details["would_change"]
    assert (would_change["replaced_run"], would_change["next_week"]) == (None, str(NEXT.next()))
    assert await next_week(gate) == NEXT


async def test_a_redelivered_dry_run_has_no_effect_either(gate: Gate) -> None:
    await gate.gated("old", Staged(events=gate.whole_week()))
    message = await gate.staged("dry", Staged(events=gate.whole_week(NEXT)), NEXT, dry_run=True)
    await gate.handle(message)
    before = await gate.files("runs/dry"), await gate.published(), list(gate.publisher.sent)
    assert await gate.handle(message) == Done("the gate was passed before")
    assert (await gate.files("runs/dry"), await gate.published(), gate.publisher.sent) == before


async def test_a_dry_run_that_fails_ends_as_the_real_one_would(gate: Gate) -> None:
    run = await gate.gated("dry", Staged(events=[]), dry_run=True)
    assert run.status is RunStatus.FAILED


async def test_a_forced_run_replaces_the_week_whole_and_supersedes_the_old_run(gate_on_each: Gate) -> None:
    gate = gate_on_each
    await gate.gated("old", Staged(events=gate.whole_week(), rejects=1, files=3), settings=TOLERANT)
    run = await gate.gated("new", Staged(events=gate.whole_week(brand="b"), files=2), force=True)

    assert (run.status, run.supersedes) == (RunStatus.SUCCESS, "old")
    assert (await gate.run("old")).status is RunStatus.SUPERSEDED
    events = paths.curated_events_dir(WEEK.start, WEEK.end)
    assert set(await gate.published()) == {
        f"{events}/_manifest.json",
        f"{events}/part-00000-new.parquet",
        f"{events}/part-00001-new.parquet",
        paths.signals_file(WEEK.start, WEEK.end),
    }
    assert [row["top_brand"] for row in await gate.rows(paths.signals_file(WEEK.start, WEEK.end))] == ["b"] * 7
    assert await gate.files("runs/new/superseded") == {}
    assert await next_week(gate) == NEXT


async def test_a_forced_run_that_fails_leaves_the_old_week_alone(gate: Gate) -> None:
    await gate.gated("old", Staged(events=gate.whole_week()))
    before = await gate.published()
    assert (await gate.gated("new", Staged(events=[]), force=True)).status is RunStatus.FAILED
    assert await gate.published() == before
    assert (await gate.run("old")).status is RunStatus.SUCCESS


async def test_a_back_fill_does_not_move_the_checkpoint(gate: Gate) -> None:
    await gate.gated("now", Staged(events=gate.whole_week()))
    earlier = Week(WEEK.start - timedelta(days=28), WEEK.end - timedelta(days=28))
    assert (await gate.gated("back", Staged(events=gate.whole_week(earlier)), earlier)).status is RunStatus.SUCCESS
    assert await next_week(gate) == NEXT
    assert paths.curated_manifest(earlier.start, earlier.end) in await gate.published()


async def test_a_week_that_skips_one_does_not_move_the_checkpoint(gate: Gate) -> None:
    await gate.gated("now", Staged(events=gate.whole_week()))
    later = NEXT.next()
    await gate.gated("later", Staged(events=gate.whole_week(later)), later)
    assert await next_week(gate) == NEXT


async def test_a_second_run_of_a_week_that_is_at_work_is_refused_and_told_which(gate: Gate) -> None:
    await gate.staged("first", Staged(events=gate.whole_week()))
    with pytest.raises(WeekBusyError, match="first"):
        await gate.staged("second", Staged(events=gate.whole_week()), force=True)


async def test_a_week_that_succeeded_meanwhile_is_not_published_over(gate: Gate) -> None:
    message = await gate.staged("slow", Staged(events=gate.whole_week()))
    await gate.kit.state.end_run("slow", RunStatus.TIMED_OUT, gate.kit.clock.now())
    await gate.gated("quick", Staged(events=gate.whole_week()))
    before = await gate.published()
    with pytest.raises(WeekDoneError, match="quick") as refused:
        await gate.handle(message)
    assert "--force" in refused.value.next_step
    assert await gate.published() == before


async def test_a_redelivery_after_the_commit_publishes_the_recorded_message_again(gate: Gate) -> None:
    message = await gate.staged("r1", Staged(events=gate.whole_week()))
    gate.publisher.failures = 1
    with pytest.raises(ConnectionError):
        await gate.handle(message)
    published, recorded = await gate.published(), (await gate.stage("r1")).outgoing
    assert gate.announced() == []

    await gate.handle(message, min_records=1_000_000)
    assert [sent.to_json() for sent in gate.publisher.sent] == [recorded]
    assert await gate.published() == published
    assert await gate.handle(message) == Done("the gate was passed before")
    assert len(gate.announced()) == 1


async def test_a_message_of_an_unknown_run_has_no_effect(gate: Gate) -> None:
    message = await gate.staged("r1", Staged(events=gate.whole_week()))
    assert await gate.handle(msgspec.structs.replace(message, run_id="r2")) == Done("the run is unknown")
    assert await gate.published() == {}


async def test_the_stage_tells_where_the_files_are(gate: Gate) -> None:
    await gate.gated("r1", Staged(events=gate.whole_week()))
    stage = await gate.kit.state.get_stage("r1", Stage.QUALITY_GATE)
    assert stage is not None
    assert (stage.status, stage.row_count, stage.published) == (StageStatus.SUCCESS, 7, True)
    told = {path for of_kind in stage.details["files"].values() for path in of_kind}
    assert told == {path for path in await gate.published() if path.endswith(".parquet")}

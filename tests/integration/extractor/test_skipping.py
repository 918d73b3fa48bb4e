"""A week that was done before: what was published is compared with its manifest, mended where possible, or reported."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

import pytest

from libs.common.lake import paths
from libs.common.manifest import StagedFile
from libs.common.messages import RunOptions, WeekRequested
from libs.common.published import PublishedManifest, encode_published
from libs.common.state import RunStatus, Stage, StageStatus
from services.extractor.errors import PublishedWeekDamagedError
from tests.integration.kits import IDS, REQUESTED_AT, RUN_ID, WEEK

DONE_BEFORE = "done-before"
CONTENT = {
    "events": (paths.curated_events_dir(WEEK.start, WEEK.end), b"events"),
    "rejects": (paths.curated_rejects_dir(WEEK.start, WEEK.end), b"rejects"),
    "signals": (paths.signals_dir(WEEK.start, WEEK.end), b"signals"),
}


@pytest.fixture
async def published(extractor: Any) -> dict[str, str]:
    """A week that succeeded and lies in the lake: the path of the one file of each kind."""
    kit = extractor.kit
    request = WeekRequested(**{**IDS, "run_id": DONE_BEFORE}, requested_by="test", requested_at=REQUESTED_AT)
    await kit.state.open_run(request, REQUESTED_AT)
    await kit.state.start_stage(DONE_BEFORE, Stage.QUALITY_GATE, REQUESTED_AT)
    await kit.state.complete_gate(
        DONE_BEFORE,
        REQUESTED_AT,
        status=RunStatus.SUCCESS,
        rows_output=1,
        rows_rejected=0,
        reject_rate_pct=Decimal(0),
        output_path=None,
        stage_details={},
        outgoing=None,
    )
    files = {}
    for kind, (directory, content) in CONTENT.items():
        path = f"{directory}/part.parquet"
        await kit.lake.put_bytes(content, path)
        digest = hashlib.sha256(content).hexdigest()
        files[kind] = StagedFile(path=path, sha256=digest, size_bytes=len(content), rows=1)
    manifest = PublishedManifest(
        run_id=DONE_BEFORE,
        pipeline_name="p",
        week_start=WEEK.start,
        week_end=WEEK.end,
        run_status=RunStatus.SUCCESS,
        rows_valid=1,
        rows_rejected=0,
        reject_rate_pct=Decimal(0),
        **{kind: (file,) for kind, file in files.items()},
    )
    await kit.lake.put_bytes(encode_published(manifest), paths.curated_manifest(WEEK.start, WEEK.end))
    return {kind: file.path for kind, file in files.items()}


async def status(extractor: Any) -> RunStatus:
    run = await extractor.kit.state.get_run(RUN_ID)
    assert run is not None
    return run.status  # type: ignore[no-any-return] # of a fixture without a type


@pytest.mark.usefixtures("published")
async def test_a_week_that_is_done_and_whole_is_skipped_without_a_request(shop: Any, extractor: Any) -> None:
    api = await shop()
    await extractor.run(api)
    assert await api.requests() == {}
    stage = await extractor.stage()
    assert (await status(extractor), stage.status) == (RunStatus.SKIPPED, StageStatus.SKIPPED)
    assert stage.details == {"skipped_because": DONE_BEFORE, "mended": []}


@pytest.mark.parametrize("kind", CONTENT)
async def test_a_published_file_that_changed_is_reported_by_name(
    shop: Any, extractor: Any, published: dict[str, str], kind: str
) -> None:
    await extractor.kit.lake.put_bytes(b"something else", published[kind])
    with pytest.raises(PublishedWeekDamagedError, match=published[kind]) as caught:
        await extractor.run(await shop())
    assert "--force" in caught.value.next_step


@pytest.mark.usefixtures("published")
async def test_a_manifest_that_is_gone_is_reported(shop: Any, extractor: Any) -> None:
    await extractor.kit.lake.delete(paths.curated_manifest(WEEK.start, WEEK.end))
    with pytest.raises(PublishedWeekDamagedError, match="is missing"):
        await extractor.run(await shop())


@pytest.mark.parametrize("kind", CONTENT)
async def test_a_file_whose_original_is_still_staged_is_mended(
    shop: Any, extractor: Any, published: dict[str, str], kind: str
) -> None:
    lake, content = extractor.kit.lake, CONTENT[kind][1]
    await lake.put_bytes(content, f"{paths.staging_dir(DONE_BEFORE)}/{kind}/part.parquet")
    await lake.delete(published[kind])
    await extractor.run(await shop(), run_retention_days=100_000)
    assert await lake.get_bytes(published[kind]) == content
    assert (await extractor.stage()).details["mended"] == [published[kind]]


async def test_an_original_that_changed_mends_nothing(shop: Any, extractor: Any, published: dict[str, str]) -> None:
    await extractor.kit.lake.put_bytes(b"else", f"{paths.staging_dir(DONE_BEFORE)}/events/part.parquet")
    await extractor.kit.lake.delete(published["events"])
    with pytest.raises(PublishedWeekDamagedError):
        await extractor.run(await shop())


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("options", [RunOptions(force=True), RunOptions(dry_run=True)], ids=["forced", "rehearsed"])
async def test_a_week_that_is_forced_or_rehearsed_is_fetched_again(
    shop: Any, extractor: Any, options: RunOptions
) -> None:
    await extractor.run(await shop(), options=options)
    assert (await extractor.stage()).row_count == 95
    assert await status(extractor) is RunStatus.STARTED


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(("advance", "moved"), [(False, 0), (True, 1)])
async def test_a_skip_moves_the_checkpoint_only_where_it_was_asked_to(
    shop: Any, extractor: Any, monkeypatch: pytest.MonkeyPatch, advance: bool, moved: int
) -> None:
    asked: list[Any] = []

    async def advance_checkpoint(*arguments: Any) -> bool:
        asked.append(arguments)
        return True

    monkeypatch.setattr(extractor.kit.state, "advance_checkpoint", advance_checkpoint)
    await extractor.run(await shop(), options=RunOptions(advance_on_skip=advance))
    assert [week for _, week, _ in asked] == [WEEK] * moved

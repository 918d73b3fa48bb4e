"""What is removed from the lake after a week is extracted, and what must stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from libs.common.lake import Lake, LakeUnavailableError, paths
from libs.common.messages import WeekRequested
from libs.common.outcome import Done
from libs.common.state import RunStatus
from tests.integration.kits import IDS, RUN_ID


async def ended(extractor: Any, run_id: str, status: RunStatus, days_ago: int) -> None:
    """A run of a week of its own that ended so long ago and left a file."""
    kit, at = extractor.kit, extractor.kit.clock.now() - timedelta(days=days_ago)
    monday = date(2020, 1, 6) + timedelta(weeks=days_ago)
    week = {"run_id": run_id, "week_start": monday, "week_end": monday + timedelta(days=6)}
    await kit.state.open_run(WeekRequested(**{**IDS, **week}, requested_by="test", requested_at=at), at)
    await kit.state.end_run(run_id, status, at)
    await kit.lake.put_bytes(b"x", f"{paths.run_sync_dir(run_id)}/batch.csv")


async def runs_left(extractor: Any) -> list[str]:
    return paths.run_ids(info.path for info in await extractor.kit.lake.list(paths.RUNS_DIR))


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED])
async def test_private_files_are_kept_for_their_days_and_then_removed(
    shop: Any, extractor: Any, status: RunStatus
) -> None:
    await ended(extractor, "long-ago", status, 31)
    await ended(extractor, "of-late", status, 29)
    await extractor.run(await shop())
    assert await runs_left(extractor) == ["of-late", RUN_ID]


async def test_a_run_that_nobody_knows_or_that_is_at_work_is_left_alone(shop: Any, extractor: Any) -> None:
    await extractor.kit.lake.put_bytes(b"x", f"{paths.raw_dir('of-another-pipeline')}/part.parquet")
    await extractor.run(await shop(), run_retention_days=1)
    assert await runs_left(extractor) == ["of-another-pipeline", RUN_ID]


async def test_what_readers_see_is_never_touched(shop: Any, extractor: Any) -> None:
    published = "curated/events/week_start=2020-01-06/week_end=2020-01-12/part.parquet"
    await extractor.kit.lake.put_bytes(b"x", published)
    await extractor.run(await shop(), run_retention_days=1)
    assert await extractor.kit.lake.exists(published)


class UnsweepableLake:
    """A lake that fails as soon as it is to be swept."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lake, name)

    async def sweep(self, *, older_than_sec: float) -> int:
        assert older_than_sec == 24 * 3600, "a live upload looks the same as a leftover"
        raise LakeUnavailableError("the lake is away")


async def test_a_lake_that_cannot_be_tidied_costs_the_week_nothing(shop: Any, extractor: Any) -> None:
    extractor.kit = replace(extractor.kit, lake=UnsweepableLake(extractor.kit.lake))
    assert await extractor.run(await shop()) == Done()
    assert len(extractor.announced()) == 4

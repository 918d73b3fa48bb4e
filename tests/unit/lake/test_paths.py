"""The spelling of every path, which other people's scripts rely on."""

from datetime import date

import pytest

from libs.common.lake import LakePathError, paths

WEEK = (date(2020, 1, 6), date(2020, 1, 12))


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (paths.run_dir("r1"), "runs/r1"),
        (paths.raw_part("r1", 0), "runs/r1/raw/part-00000.parquet"),
        (paths.validated_part("r1", 12), "runs/r1/validated/part-00012.parquet"),
        (paths.rejects_part("r1", 99_999), "runs/r1/rejects/part-99999.parquet"),
        (paths.load_manifest("r1"), "runs/r1/staging/_manifest.json"),
        (paths.staged_events_file("r1", 3), "runs/r1/staging/events/part-00003-r1.parquet"),
        (paths.staged_rejects_file("r1", 0), "runs/r1/staging/rejects/part-00000-r1.parquet"),
        (paths.staged_signals_file("r1"), "runs/r1/staging/signals/part-00000.parquet"),
        (paths.run_sync_dir("r1"), "runs/r1/sync"),
        (paths.curated_events_dir(*WEEK), "curated/events/week_start=2020-01-06/week_end=2020-01-12"),
        (paths.curated_manifest(*WEEK), "curated/events/week_start=2020-01-06/week_end=2020-01-12/_manifest.json"),
        (paths.curated_rejects_dir(*WEEK), "curated/rejects/week_start=2020-01-06/week_end=2020-01-12"),
        (paths.signals_file(*WEEK), "signals/week_start=2020-01-06/week_end=2020-01-12/part-00000.parquet"),
        (paths.SYNC_DIR, "sync/customer_weekly_metric"),
        (paths.CHECKPOINT_MIRROR, "state/checkpoint.json"),
    ],
)
def test_paths_are_spelled_as_published(built: str, expected: str) -> None:
    assert built == expected
    assert paths.check_path(built) == built


@pytest.mark.parametrize("run_id", ["", "..", "a/b", ".tmp-1", "a\0"])
def test_a_run_id_cannot_lead_out_of_its_directory(run_id: str) -> None:
    with pytest.raises(LakePathError):
        paths.raw_part(run_id, 0)


@pytest.mark.parametrize("index", [-1, 100_000])
def test_a_part_number_that_would_break_the_order_of_names_is_refused(index: int) -> None:
    with pytest.raises(LakePathError):
        paths.part_name(index)


def test_temporary_names_are_unique_recognised_and_refused_from_outside() -> None:
    name = paths.temporary_name()
    assert name != paths.temporary_name()
    assert paths.is_temporary(name)
    assert paths.is_temporary(f"a/{name}/b")
    assert not paths.is_temporary("a/b.tmp-1")
    with pytest.raises(LakePathError):
        paths.check_path(f"a/{name}")

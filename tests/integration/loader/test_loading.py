"""Validated parts through the loader's handler: staged files, the manifest, and exactly one `data.loaded`."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from libs.common import failpoints
from libs.common.blobs import BlobMismatchError, open_blob
from libs.common.events.schema import EVENT_SCHEMA
from libs.common.failpoints import FailpointError
from libs.common.lake import paths, sha256_file
from libs.common.outcome import Done
from libs.common.processes import Processes
from libs.common.state import Stage, StageStatus
from services.loader.adapters import Merger
from services.loader.staging import LoadMismatchError
from tests.integration.kits import RUN_ID
from tests.integration.loader.conftest import MONDAY, Loader

Replicas = tuple[Loader, Loader]


async def test_a_week_becomes_files_a_manifest_and_one_message(loader: Loader) -> None:
    messages = [await loader.validated(0, ["b", "a"], rejects=1), await loader.validated(1, ["a"])]
    await loader.parts_are(2)
    for message in messages:
        assert await loader.handle(message) == Done()

    (announced,) = loader.announced()
    assert (announced.parts_total, announced.rows_valid, announced.rows_rejected) == (2, 3, 1)
    async with open_blob(loader.kit.lake, announced.manifest, loader.kit.scratch) as file:
        assert file.read_bytes() == (loader.lake_dir / paths.load_manifest(RUN_ID)).read_bytes()
    manifest = loader.manifest()
    assert (manifest.reject_counts, manifest.unknown_fields) == ({"bad_price": 1}, {"extra": {"string": 2}})
    (events,), (rejects,) = manifest.events, manifest.rejects
    assert (events.path, events.rows) == (paths.staged_events_file(RUN_ID, 0), 3)
    assert (events.min_event_time, events.max_event_time) == (MONDAY, MONDAY + timedelta(hours=1))
    assert (events.sha256, events.size_bytes) == sha256_file(loader.lake_dir / events.path)
    assert (rejects.path, rejects.rows, rejects.min_event_time) == (paths.staged_rejects_file(RUN_ID, 0), 1, None)
    stage = await loader.kit.state.get_stage(RUN_ID, Stage.LOAD)
    assert stage is not None
    assert (stage.status, stage.row_count, stage.rejected_count) == (StageStatus.SUCCESS, 3, 1)
    assert stage.published


async def test_a_file_is_sorted_by_user_then_time_with_the_contracts_columns(loader: Loader) -> None:
    await loader.handle(await loader.validated(0, ["b", "a", "b"]))
    await loader.parts_are(2)
    await loader.handle(await loader.validated(1, ["a", "c"]))
    table = loader.table(paths.staged_events_file(RUN_ID, 0))
    assert table.schema.equals(EVENT_SCHEMA)
    keys = [(row["user_id"], row["event_time"]) for row in table.to_pylist()]
    assert keys == sorted(keys)
    assert [user for user, _ in keys] == ["a", "a", "b", "b", "c"]


async def test_parts_are_merged_in_groups_of_bounded_size(loader: Loader) -> None:
    loader = loader.with_groups_of(4)
    await loader.parts_are(4)
    for part in range(4):
        await loader.handle(await loader.validated(part, ["a", "b"]))
    manifest = loader.manifest()
    assert [file.rows for file in manifest.events] == [4, 4]
    assert manifest.rejects == ()
    assert loader.merger.merges == 2


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_order_of_the_parts_changes_no_byte(loader: Loader, tmp_path: Path, order: tuple[int, ...]) -> None:
    loader = loader.with_groups_of(3)
    messages = [await loader.validated(part, ["c", "a"][: 1 + part % 2], rejects=part) for part in range(3)]
    await loader.parts_are(3)
    for part in order:
        await loader.handle(messages[part])
    assert len(loader.announced()) == 1
    assert [file.rows for file in loader.manifest().events] == [1, 2, 1]
    assert {name: sha256_file(file).sha256[:12] for name, file in _files(loader).items()} == {
        "events/part-00000-run-1.parquet": loader.manifest().events[0].sha256[:12],
        "events/part-00001-run-1.parquet": loader.manifest().events[1].sha256[:12],
        "events/part-00002-run-1.parquet": loader.manifest().events[2].sha256[:12],
        "rejects/part-00001-run-1.parquet": loader.manifest().rejects[0].sha256[:12],
        "rejects/part-00002-run-1.parquet": loader.manifest().rejects[1].sha256[:12],
    }


def _files(loader: Loader) -> dict[str, Path]:
    root = loader.lake_dir / paths.staging_dir(RUN_ID)
    return {str(file.relative_to(root)): file for file in root.rglob("*.parquet")}


async def test_a_week_without_valid_records_has_one_events_file_without_rows(loader: Loader) -> None:
    await loader.parts_are(1)
    await loader.handle(await loader.validated(0))
    manifest = loader.manifest()
    (events,) = manifest.events
    assert (events.rows, events.min_event_time, manifest.rejects) == (0, None, ())
    assert loader.table(events.path).schema.equals(EVENT_SCHEMA)


async def test_the_number_of_parts_may_become_known_last(loader: Loader) -> None:
    await loader.handle(await loader.validated(0, ["a"]))
    assert loader.announced() == []
    await loader.parts_are(2)
    await loader.handle(await loader.validated(1, ["b"]))
    assert len(loader.announced()) == 1


async def test_a_redelivery_after_the_end_announces_nothing_twice(loader: Loader) -> None:
    await loader.parts_are(1)
    message = await loader.validated(0, ["a"])
    await loader.handle(message)
    before = loader.staged()
    await loader.handle(message)
    assert len(loader.announced()) == 1
    assert loader.staged() == before


async def test_what_was_committed_and_not_published_is_published_by_the_redelivery(loader: Loader) -> None:
    await loader.parts_are(1)
    message = await loader.validated(0, ["a"])
    loader.publisher.failures = 1
    with pytest.raises(ConnectionError):
        await loader.handle(message)
    await loader.handle(message)
    assert len(loader.announced()) == 1


@pytest.mark.parametrize("point", ["after_work@stage=LOAD,part=1:raise", "after_commit:raise", "after_publish:raise"])
async def test_a_crash_anywhere_ends_in_the_same_files_and_one_message_id(loader: Loader, point: str) -> None:
    loader = loader.with_groups_of(1)
    await loader.parts_are(2)
    first, last = await loader.validated(0, ["a"], rejects=1), await loader.validated(1, ["b"])
    await loader.handle(first)
    failpoints.configure(point)
    with pytest.raises(FailpointError):
        await loader.handle(last)
    failpoints.configure(None)
    before = loader.staged()

    await loader.handle(last)
    after = loader.staged()
    assert {name: after[name] for name in before} == before
    assert len({sent.message_id for sent in loader.publisher.sent}) == 1
    assert [file.rows for file in loader.manifest().events] == [1, 1]


async def test_two_replicas_finish_a_run_once(replicas: Replicas) -> None:
    one, two = (replica.with_groups_of(2) for replica in replicas)
    await one.parts_are(6)
    messages = [await one.validated(part, ["a", "b"][: 1 + part % 2], rejects=part % 2) for part in range(6)]
    await asyncio.gather(
        *(one.handle(message) for message in messages[::2]),
        *(two.handle(message) for message in messages[1::2]),
        *(two.handle(message) for message in messages[:3]),
    )
    assert len({sent.message_id for sent in one.publisher.sent}) == 1
    manifest = one.manifest()
    assert (manifest.rows_valid, manifest.rows_rejected) == (9, 3)
    assert sum(one.table(file.path).num_rows for file in manifest.events) == 9


async def test_one_replica_does_not_merge_a_group_twice_at_once(loader: Loader) -> None:
    await loader.parts_are(3)
    messages = [await loader.validated(part, ["a"]) for part in range(3)]
    await asyncio.gather(*(loader.handle(message) for message in messages))
    assert loader.merger.merges == 1


async def test_files_of_an_attempt_that_grouped_otherwise_are_removed(loader: Loader) -> None:
    await loader.parts_are(3)
    messages = [await loader.validated(part, ["a", "b"]) for part in range(3)]
    for message in messages[:2]:
        await loader.with_groups_of(1).handle(message)
    await loader.handle(messages[2])
    assert set(_files(loader)) == {"events/part-00000-run-1.parquet"}
    assert [file.rows for file in loader.manifest().events] == [6]


async def test_a_part_that_was_changed_in_the_lake_is_noticed(loader: Loader) -> None:
    await loader.parts_are(1)
    message = await loader.validated(0, ["a"])
    (loader.lake_dir / paths.validated_part(RUN_ID, 0)).write_bytes(b"PAR1")
    with pytest.raises(BlobMismatchError):
        await loader.handle(message)
    assert loader.announced() == []


async def test_a_reference_that_counts_other_rows_than_its_file_is_refused(loader: Loader) -> None:
    await loader.parts_are(1)
    message = await loader.validated(0, ["a"])
    lying = msgspec.structs.replace(message, valid=msgspec.structs.replace(message.valid, rows=2))
    with pytest.raises(LoadMismatchError, match="1 rows, 2 were merged"):
        await loader.handle(lying)


async def test_the_scratch_folder_is_empty_afterwards(loader: Loader) -> None:
    await loader.parts_are(1)
    message = await loader.validated(0, ["a"], rejects=1)
    (loader.kit.scratch / "part.parquet").unlink()
    await loader.handle(message)
    assert list(loader.kit.scratch.iterdir()) == []


async def test_merging_happens_in_a_process_of_its_own(loader: Loader) -> None:
    await loader.parts_are(1)
    message = await loader.validated(0, ["a"], rejects=1)
    async with Processes(1) as processes:
        await replace(loader, deps=replace(loader.deps, merger=Merger(processes))).handle(message)
    manifest = loader.manifest()
    assert (manifest.rows_valid, manifest.rows_rejected) == (1, 1)
    assert manifest.events[0].min_event_time == MONDAY
    assert (
        pq.ParquetFile(loader.lake_dir / manifest.events[0].path).metadata.row_group(0).column(7).statistics.min == "a"
    )

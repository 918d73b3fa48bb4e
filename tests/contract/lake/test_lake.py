"""What every lake promises."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from libs.common.lake import (
    FileInfo,
    Lake,
    LakeError,
    LakeFileExistsError,
    LakeFileNotFoundError,
    LakePathError,
    sha256_file,
)


async def test_what_was_put_is_read_back(lake: Lake) -> None:
    await lake.put_bytes(b"some bytes", "runs/r1/raw/part-00000.parquet")
    assert await lake.get_bytes("runs/r1/raw/part-00000.parquet") == b"some bytes"
    assert await lake.exists("runs/r1/raw/part-00000.parquet")
    assert await lake.info("runs/r1/raw/part-00000.parquet") == FileInfo("runs/r1/raw/part-00000.parquet", 10)


async def test_an_empty_file_exists_and_is_empty(lake: Lake) -> None:
    await lake.put_bytes(b"", "empty")
    assert await lake.get_bytes("empty") == b""
    assert await lake.list("") == [FileInfo("empty", 0)]


async def test_an_empty_file_replaces_a_full_one(lake: Lake) -> None:
    await lake.put_bytes(b"full", "file")
    await lake.put_bytes(b"", "file")
    assert await lake.get_bytes("file") == b""


async def test_a_shorter_file_replaces_a_longer_one_whole(lake: Lake, tmp_path: Path) -> None:
    await lake.put_bytes(b"a longer content", "dir/file")
    (tmp_path / "local").write_bytes(b"short")
    await lake.put_file(tmp_path / "local", "dir/file")
    assert await lake.get_bytes("dir/file") == b"short"
    assert await lake.list("") == [FileInfo("dir/file", 5)]


async def test_a_big_file_comes_back_byte_for_byte(lake: Lake, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        for number in range(40):
            file.write(number.to_bytes(4, "big") * (1 << 18))
    await lake.put_file(big, "big")
    assert await lake.info("big") == FileInfo("big", 40 << 20)
    assert await lake.get_file("big", tmp_path / "back") == tmp_path / "back"
    assert sha256_file(tmp_path / "back") == sha256_file(big)


async def test_an_empty_local_file_makes_the_round_trip(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "local").touch()
    await lake.put_file(tmp_path / "local", "empty")
    await lake.get_file("empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


@pytest.mark.parametrize(
    "path",
    [
        "week_start=2020-01-06/week_end=2020-01-12/x.parquet",
        "with a blank/ä ö/日本.txt",
        "a+b&c;d,e@f:g/(h)'i!$",
        "_x/.y",
    ],
)
async def test_unusual_names_work_everywhere(lake: Lake, tmp_path: Path, path: str) -> None:
    await lake.put_bytes(b"1", path)
    assert await lake.get_bytes(path) == b"1"
    assert await lake.list(path.split("/")[0]) == [FileInfo(path, 1)]
    await lake.rename(path, f"moved/{path}")
    await lake.rename_directory("moved", "moved again")
    async with lake.local_copy(f"moved again/{path}", tmp_path) as local:
        assert local.read_bytes() == b"1"
        assert local.suffix == Path(path).suffix
    await lake.delete(f"moved again/{path}")
    assert await lake.list("") == []


async def test_listing_is_recursive_sorted_by_path_and_below_the_prefix_only(lake: Lake) -> None:
    for path in ("dir/b", "dir/a/z", "dir-2/x", "dir/a.txt", "dir/B", "dirx", "other/y"):
        await lake.put_bytes(path.encode(), path)
    expected = ["dir/B", "dir/a.txt", "dir/a/z", "dir/b"]
    assert [info.path for info in await lake.list("dir")] == expected
    assert [info.path for info in await lake.list("")] == sorted([*expected, "dir-2/x", "dirx", "other/y"])


async def test_a_missing_directory_lists_as_empty(lake: Lake) -> None:
    assert await lake.list("") == []
    assert await lake.list("nowhere/at all") == []


async def test_directories_without_files_are_not_listed_but_exist(lake: Lake) -> None:
    await lake.put_bytes(b"1", "dir/sub/file")
    await lake.delete("dir/sub/file")
    assert await lake.list("") == []
    assert await lake.exists("dir/sub")


async def test_what_is_missing_says_so(lake: Lake, tmp_path: Path) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: lake.get_bytes("dir/missing"),
        lambda: lake.get_file("dir/missing", tmp_path / "back"),
        lambda: lake.info("dir/missing"),
        lambda: lake.rename("dir/missing", "x"),
        lambda: lake.rename_directory("dir/missing", "x"),
    ]
    for call in calls:
        with pytest.raises(LakeFileNotFoundError, match="dir/missing"):
            await call()
    with pytest.raises(LakeFileNotFoundError, match="dir/missing"):
        async with lake.local_copy("dir/missing", tmp_path):
            pass
    assert not await lake.exists("dir/missing")
    assert not [name for name in os.scandir(tmp_path) if name.is_file()]


async def test_a_directory_is_no_file(lake: Lake, tmp_path: Path) -> None:
    await lake.put_bytes(b"1", "dir/file")
    assert await lake.exists("dir")
    for call in (
        lake.get_bytes("dir"),
        lake.info("dir"),
        lake.rename("dir", "x"),
        lake.get_file("dir", tmp_path / "x"),
    ):
        with pytest.raises(LakeFileNotFoundError, match="'dir'"):
            await call
    with pytest.raises(LakePathError):
        await lake.put_bytes(b"", "dir")
    assert await lake.list("") == [FileInfo("dir/file", 1)]


async def test_nothing_can_be_put_below_a_file(lake: Lake) -> None:
    await lake.put_bytes(b"1", "file")
    with pytest.raises(LakePathError):
        await lake.put_bytes(b"2", "file/below")
    assert await lake.list("") == [FileInfo("file", 1)]


async def test_a_rename_makes_the_directories_it_needs(lake: Lake) -> None:
    await lake.put_bytes(b"1", "a")
    await lake.rename("a", "new/deep/b")
    assert await lake.list("") == [FileInfo("new/deep/b", 1)]


async def test_a_rename_replaces_unless_told_not_to(lake: Lake) -> None:
    await lake.put_bytes(b"new", "source")
    await lake.put_bytes(b"old", "target")
    with pytest.raises(LakeFileExistsError, match="target"):
        await lake.rename("source", "target", overwrite=False)
    assert await lake.get_bytes("target") == b"old"
    await lake.rename("source", "target")
    assert await lake.get_bytes("target") == b"new"
    assert not await lake.exists("source")


async def test_a_rename_that_must_not_replace_moves_where_nothing_is(lake: Lake) -> None:
    await lake.put_bytes(b"1", "source")
    await lake.rename("source", "dir/target", overwrite=False)
    assert await lake.list("") == [FileInfo("dir/target", 1)]


async def test_of_two_renames_to_one_free_target_one_fails(lake: Lake) -> None:
    await lake.put_bytes(b"a", "a")
    await lake.put_bytes(b"b", "b")
    renames = (lake.rename(source, "target", overwrite=False) for source in ("a", "b"))
    results = await asyncio.gather(*renames, return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [LakeFileExistsError]
    assert len(await lake.list("")) == 2


async def test_a_directory_moves_with_everything_in_it(lake: Lake) -> None:
    for name in ("1", "2/3", "2/4"):
        await lake.put_bytes(name.encode(), f"runs/r/staging/{name}")
    await lake.put_bytes(b"", "runs/r/staging-not")
    await lake.rename_directory("runs/r/staging", "curated/events/week")
    assert [info.path for info in await lake.list("")] == [
        "curated/events/week/1",
        "curated/events/week/2/3",
        "curated/events/week/2/4",
        "runs/r/staging-not",
    ]
    assert await lake.get_bytes("curated/events/week/2/3") == b"2/3"
    assert not await lake.exists("runs/r/staging")


async def test_a_directory_never_replaces_anything(lake: Lake) -> None:
    await lake.put_bytes(b"1", "source/file")
    await lake.put_bytes(b"2", "target/file")
    await lake.put_bytes(b"3", "file")
    await lake.put_bytes(b"4", "empty/gone")
    await lake.delete("empty/gone")
    for target in ("target", "file", "empty"):
        with pytest.raises(LakeFileExistsError):
            await lake.rename_directory("source", target)
    assert await lake.get_bytes("source/file") == b"1"
    assert await lake.get_bytes("target/file") == b"2"


async def test_a_file_is_no_directory_to_rename(lake: Lake) -> None:
    await lake.put_bytes(b"1", "file")
    with pytest.raises(LakeFileNotFoundError, match="file"):
        await lake.rename_directory("file", "x")


async def test_delete_removes_a_file_or_a_tree_and_forgives_what_is_missing(lake: Lake) -> None:
    for path in ("runs/r1/a", "runs/r1/b/c", "runs/r10", "runs/r2"):
        await lake.put_bytes(b"1", path)
    await lake.delete("runs/r2")
    await lake.delete("runs/r1")
    await lake.delete("runs/r1")
    await lake.delete("never/was/there")
    assert [info.path for info in await lake.list("")] == ["runs/r10"]
    assert not await lake.exists("runs/r1")


async def test_two_writers_of_one_path_leave_one_whole_content(lake: Lake) -> None:
    contents = [bytes([letter]) * 300_000 for letter in b"abcd"]
    await asyncio.gather(*(lake.put_bytes(content, "contested") for content in contents))
    assert await lake.get_bytes("contested") in contents
    assert len(await lake.list("")) == 1


async def test_a_reader_never_sees_a_half_written_file(lake: Lake) -> None:
    old, new = b"o" * 1_500_000, b"n" * 1_000_000
    await lake.put_bytes(old, "file")
    writing = asyncio.create_task(_put_in_turn(lake, [new, old] * 4))
    seen = set()
    while not writing.done():
        seen.add(await lake.get_bytes("file"))
    await writing
    assert seen <= {old, new}


async def _put_in_turn(lake: Lake, contents: list[bytes]) -> None:
    for content in contents:
        await lake.put_bytes(content, "file")


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "..", "../x", "a/../../x", "a/./b", "a//b", "a/", "a\\b", "a\0b", "a\nb",
     ".tmp-x", "a/.tmp-1/b", "dot.", "per%2fcent", "q?x", "f#x", "x" * 256, "/".join(["abcdefghi"] * 103), "\ud800"],
)  # fmt: skip
async def test_paths_that_lead_astray_are_refused_everywhere(lake: Lake, tmp_path: Path, path: str) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: lake.put_bytes(b"", path),
        lambda: lake.get_bytes(path),
        lambda: lake.get_file(path, tmp_path / "back"),
        lambda: lake.info(path),
        lambda: lake.exists(path),
        lambda: lake.delete(path),
        lambda: lake.rename("a", path),
        lambda: lake.rename(path, "a"),
        lambda: lake.rename_directory("a", path),
        lambda: lake.rename_directory(path, "a"),
    ]
    for call in calls:
        with pytest.raises(LakePathError):
            await call()


async def test_a_missing_local_file_or_directory_is_named(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="not-there"):
        await lake.put_file(tmp_path / "not-there", "file")
    assert await lake.list("") == []
    await lake.put_bytes(b"1", "file")
    with pytest.raises(LakeError, match="nowhere"):
        await lake.get_file("file", tmp_path / "nowhere" / "back")


async def test_sweeping_a_lake_without_leftovers_removes_nothing(lake: Lake) -> None:
    assert await lake.sweep(older_than_sec=0) == 0
    await lake.put_bytes(b"1", "dir/file")
    assert await lake.sweep(older_than_sec=0) == 0
    assert await lake.list("") == [FileInfo("dir/file", 1)]


async def test_errors_tell_code_next_step_and_kind(lake: Lake) -> None:
    with pytest.raises(LakeError) as caught:
        await lake.get_bytes("missing")
    assert caught.value.code == "lake_file_not_found"
    assert caught.value.next_step
    assert caught.value.transient is False

"""What only the folder lake has to care about: the disk."""

import asyncio
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from libs.common.lake import (
    FileInfo,
    FolderLake,
    LakeAccessError,
    LakeError,
    LakeFileExistsError,
    LakeFullError,
    LakePathError,
    LakeUnavailableError,
)

# Dies at the moment when all is written, nothing is published.
KILLED_PUT = """
import asyncio, os, signal, sys
from pathlib import Path
from libs.common.lake import open_lake
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(open_lake(sys.argv[1]).put_bytes(b"new" * 1000, "dir/file"))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def lake(root: Path) -> FolderLake:
    return FolderLake(root)


async def test_a_put_that_was_killed_is_never_seen(lake: FolderLake, root: Path) -> None:
    await lake.put_bytes(b"old", "dir/file")
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", KILLED_PUT, root.as_uri()], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((root / "dir").iterdir())) == 2
    assert await lake.list("") == [FileInfo("dir/file", 3)]
    assert await lake.get_bytes("dir/file") == b"old"
    assert await lake.sweep(older_than_sec=3600) == 0  # it might still be at work
    assert await lake.sweep(older_than_sec=-1) == 1
    assert [path.name for path in (root / "dir").iterdir()] == ["file"]


async def test_file_and_directories_are_on_the_disk_before_put_returns(
    lake: FolderLake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, int]] = []

    def record(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append(("directory" if stat.S_ISDIR(status.st_mode) else "file", status.st_ino))

    monkeypatch.setattr(os, "fsync", record)
    await lake.put_bytes(b"1", "a/b/file")
    inode = {path: (root / path).stat().st_ino for path in (".", "a", "a/b", "a/b/file")}
    assert synced[-2:] == [("file", inode["a/b/file"]), ("directory", inode["a/b"])]
    assert {("directory", inode["."]), ("directory", inode["a"])} <= set(synced)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, LakeFullError),
        (errno.EDQUOT, LakeFullError),
        (errno.EACCES, LakeAccessError),
        (errno.EROFS, LakeAccessError),
        (errno.EIO, LakeUnavailableError),
    ],
)
async def test_a_disk_that_refuses_is_told_by_its_kind_and_leaves_the_old_file(
    lake: FolderLake, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[LakeError]
) -> None:
    await lake.put_bytes(b"old", "dir/file")

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number), descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(error, match="dir/file") as caught:
        await lake.put_bytes(b"new", "dir/file")
    assert os.strerror(number) in str(caught.value)
    monkeypatch.undo()
    assert await lake.get_bytes("dir/file") == b"old"
    assert [path.name for path in (root / "dir").iterdir()] == ["file"]


async def test_the_permission_error_says_which_user_needs_what(
    lake: FolderLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", _denied)
    with pytest.raises(LakeAccessError) as caught:
        await lake.put_bytes(b"1", "file")
    assert str(os.geteuid()) in caught.value.next_step


def _denied(path: Path, *_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


async def test_a_local_copy_is_the_file_itself(lake: FolderLake, root: Path, tmp_path: Path) -> None:
    await lake.put_bytes(b"1", "file")
    async with lake.local_copy("file", tmp_path) as local:
        assert local == root / "file"
    assert (root / "file").exists()


async def test_an_exclusive_rename_that_was_killed_half_way_is_finished(lake: FolderLake, root: Path) -> None:
    await lake.put_bytes(b"1", "source")
    os.link(root / "source", root / "target")
    await lake.rename("source", "target", overwrite=False)
    assert await lake.list("") == [FileInfo("target", 1)]


async def test_an_exclusive_rename_works_without_hard_links(lake: FolderLake, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(path: Path, _: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    await lake.put_bytes(b"1", "source")
    await lake.put_bytes(b"2", "taken")
    with pytest.raises(LakeFileExistsError):
        await lake.rename("source", "taken", overwrite=False)
    await lake.rename("source", "target", overwrite=False)
    assert [info.path for info in await lake.list("")] == ["taken", "target"]


async def test_a_tree_is_out_of_sight_before_it_is_removed(
    lake: FolderLake, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lake.put_bytes(b"1", "dir/a")
    await lake.put_bytes(b"2", "dir/b")

    def fail(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("shutil.rmtree", fail)
    with pytest.raises(LakeUnavailableError):
        await lake.delete("dir")
    assert await lake.list("") == []
    assert not (root / "dir").exists()
    monkeypatch.undo()
    assert await lake.sweep(older_than_sec=-1) == 1
    assert not list(os.scandir(root))


async def test_a_link_out_of_the_lake_is_removed_not_followed(lake: FolderLake, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").touch()
    await lake.put_bytes(b"1", "file")
    (root / "link").symlink_to(tmp_path / "outside")
    assert await lake.list("") == [FileInfo("file", 1)]
    await lake.delete("link")
    assert (tmp_path / "outside/file").exists()


async def test_a_name_too_long_for_the_disk_is_a_bad_path(lake: FolderLake, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_long(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENAMETOOLONG, "File name too long", str(path))

    monkeypatch.setattr(Path, "open", too_long)
    with pytest.raises(LakePathError):
        await lake.put_bytes(b"1", "file")

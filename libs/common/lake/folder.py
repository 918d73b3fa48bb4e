"""The lake in a folder: for one machine, a demo, or a mounted share with POSIX renames."""

import asyncio
import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from libs.common.lake import paths
from libs.common.lake.disk_errors import from_os
from libs.common.lake.errors import LakeFileExistsError, LakeFileNotFoundError, LakePathError
from libs.common.lake.port import FileInfo, FileInfos

_T = TypeVar("_T")

# What file systems without hard links (SMB, some FUSE mounts) answer to link().
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class FolderLake:
    """Implements `Lake` on a directory, which the first put makes. Durable: files and directories are fsynced."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def url(self) -> str:
        """`file:///…`, percent-encoded where needed."""
        return self._root.as_uri()

    async def put_file(self, local: Path, path: str) -> None:
        """See `Lake.put_file`."""

        def write(target: BinaryIO) -> None:
            with local.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)

        await self._run(path, lambda: self._put(path, write))

    async def put_bytes(self, data: bytes, path: str) -> None:
        """See `Lake.put_bytes`."""
        await self._run(path, lambda: self._put(path, lambda target: target.write(data)))

    async def get_bytes(self, path: str) -> bytes:
        """See `Lake.get_bytes`."""
        return await self._run(path, lambda: self._file(path).read_bytes())

    async def get_file(self, path: str, local: Path) -> Path:
        """See `Lake.get_file`."""

        def copy() -> None:
            source = self._file(path)
            part = local.with_name(paths.temporary_name())
            try:
                shutil.copyfile(source, part)
                part.replace(local)
            finally:
                part.unlink(missing_ok=True)

        await self._run(path, copy)
        return local

    @asynccontextmanager
    async def local_copy(self, path: str, scratch: Path) -> AsyncGenerator[Path]:
        """See `Lake.local_copy`: the file itself."""
        yield await self._run(path, lambda: self._file(path))

    async def exists(self, path: str) -> bool:
        """See `Lake.exists`."""
        return await self._run(path, lambda: self._at(path).exists())

    async def info(self, path: str) -> FileInfo:
        """See `Lake.info`."""
        return await self._run(path, lambda: FileInfo(path, self._file(path).stat().st_size))

    async def list(self, prefix: str) -> FileInfos:
        """See `Lake.list`."""
        start = self._at(prefix) if prefix else self._root
        return await self._run(prefix, lambda: sorted(_walk(start, prefix), key=lambda info: info.path))

    async def rename(self, source: str, target: str, *, overwrite: bool = True) -> None:
        """See `Lake.rename`."""

        def move() -> None:
            new, old = self._at(target), self._file(source)
            self._make_directory(new.parent)
            if overwrite:
                old.replace(new)
            else:
                _move_exclusively(old, new)
            _sync_directories(old.parent, new.parent)

        await self._run(source, move)

    async def rename_directory(self, source: str, target: str) -> None:
        """See `Lake.rename_directory`."""

        def move() -> None:
            old, new = self._at(source), self._at(target)
            if not old.is_dir():
                raise LakeFileNotFoundError(f"There is no directory {source!r} in {self.url}.")
            if new.exists():
                raise LakeFileExistsError(f"{target!r} exists already in {self.url}.")
            self._make_directory(new.parent)
            old.rename(new)  # someone who fills the target in between makes this fail with ENOTEMPTY
            _sync_directories(old.parent, new.parent)

        await self._run(source, move)

    async def delete(self, path: str) -> None:
        """See `Lake.delete`."""

        def remove() -> None:
            target = self._at(path)
            doomed = target.with_name(paths.temporary_name())
            try:
                target.rename(doomed)  # out of sight in one step, then removed at leisure
            except (FileNotFoundError, NotADirectoryError):
                return
            _remove(doomed)
            _sync_directories(target.parent)

        await self._run(path, remove)

    async def sweep(self, *, older_than_sec: float) -> int:
        """See `Lake.sweep`."""

        def remove() -> int:
            limit = time.time() - older_than_sec
            leftovers = [path for path in _temporary_below(self._root) if path.lstat().st_mtime < limit]
            for path in leftovers:
                _remove(path)
            return len(leftovers)

        return await self._run("", remove)

    async def aclose(self) -> None:
        """Nothing to release."""

    async def _run(self, path: str, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise from_os(error, f"{path!r} in {self.url}") from error

    def _at(self, path: str) -> Path:
        return self._root.joinpath(paths.check_path(path))

    def _file(self, path: str) -> Path:
        file = self._at(path)
        if not stat.S_ISREG(file.stat().st_mode):
            raise LakeFileNotFoundError(f"{path!r} in {self.url} is a directory, not a file.")
        return file

    def _put(self, path: str, write: Callable[[BinaryIO], object]) -> None:
        target = self._at(path)
        self._make_directory(target.parent)
        part = target.with_name(paths.temporary_name())
        try:
            with part.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                part.unlink(missing_ok=True)
            raise
        _sync_directories(target.parent)

    def _make_directory(self, directory: Path) -> None:
        """`mkdir -p` that survives a power cut: each new name is fsynced in its parent."""
        missing = []
        while not directory.is_dir():
            missing.append(directory)
            directory = directory.parent
        for new in reversed(missing):
            try:
                new.mkdir(exist_ok=True)
            except FileExistsError as error:
                raise LakePathError(f"A file is in the place of the directory {new}.") from error
            _sync_directories(new.parent)


def _move_exclusively(old: Path, new: Path) -> None:
    """Rename without overwriting. link() is the only POSIX call that refuses an existing name atomically."""
    try:
        new.hardlink_to(old)
    except FileExistsError:
        if not old.samefile(new):
            raise
        # else: killed between link and unlink the last time; finish it
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if new.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(old), None, str(new)) from error
        old.rename(new)
        return
    old.unlink()


def _remove(path: Path) -> None:
    """Remove a file, a link or a tree, also while somebody else is removing it."""
    while path.is_dir() and not path.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _temporary_below(root: Path) -> Iterator[Path]:
    """The topmost unfinished files and directories."""
    for directory, directories, files in os.walk(root):
        for name in filter(paths.is_temporary, [*directories, *files]):
            yield Path(directory, name)
        directories[:] = [name for name in directories if not paths.is_temporary(name)]


def _sync_directories(*directories: Path) -> None:
    for directory in dict.fromkeys(directories):
        with contextlib.suppress(FileNotFoundError):  # moved away by another writer, who syncs it himself
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _walk(directory: Path, prefix: str) -> Iterator[FileInfo]:
    """Files below `directory`, named below `prefix`. What vanishes meanwhile is left out."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in entries:
            if paths.is_temporary(entry.name):
                continue
            path = f"{prefix}/{entry.name}" if prefix else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), path)
            elif entry.is_file():
                with contextlib.suppress(FileNotFoundError):
                    yield FileInfo(path, entry.stat().st_size)

"""The lake as the services see it: whole files under '/'-separated paths, visible complete or not at all."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file: its path relative to the lake's root ('/'-separated) and its size."""

    path: str
    size_bytes: int


# A name of its own, because inside the class `list` means the method.
FileInfos: TypeAlias = list[FileInfo]


class Lake(Protocol):
    """A data lake with atomic puts and renames.

    Every path is relative to the lake's root and checked by `paths.check_path` (LakePathError). Every method raises a
    LakeError and nothing else of its own: LakeUnavailableError and LakeFullError are transient, the rest terminal.
    No method blocks the event loop. Two writers of one path are safe: the last to finish wins, whole.
    """

    @property
    def url(self) -> str:
        """The lake's root, `file:///…` or `abfss://…`; holds no secret and no trailing '/'."""

    async def put_file(self, local: Path, path: str) -> None:
        """Store a copy of `local` at `path`, replacing what is there; parents are made.

        Readers see the old content or the new, never a part; what a crash leaves behind is never listed. When this
        returns the file survives the loss of the process, and of the power in a folder lake.
        """

    async def put_bytes(self, data: bytes, path: str) -> None:
        """Like `put_file`, from memory. Empty data makes an empty file."""

    async def get_bytes(self, path: str) -> bytes:
        """The whole file, which must fit into memory. Raises LakeFileNotFoundError."""

    async def get_file(self, path: str, local: Path) -> Path:
        """Stream the file to `local` (its directory must exist), which appears only when complete; returns `local`.

        Raises LakeFileNotFoundError.
        """

    def local_copy(self, path: str, scratch: Path) -> AbstractAsyncContextManager[Path]:
        """A readable local path of the file while the context is open. Raises LakeFileNotFoundError on entry.

        The folder lake gives the file itself without a copy (so never write to it); others download into the directory
        `scratch` and remove the copy on exit. The name keeps its suffix.
        """

    async def exists(self, path: str) -> bool:
        """Whether a file or a directory has this path."""

    async def info(self, path: str) -> FileInfo:
        """Size of a file. Raises LakeFileNotFoundError, also for a directory."""

    async def list(self, prefix: str) -> FileInfos:
        """Every file below the directory `prefix` ("" is the root), recursively, sorted by path.

        Unfinished uploads are left out. A missing directory is empty.
        """

    async def rename(self, source: str, target: str, *, overwrite: bool = True) -> None:
        """Move one file atomically; parents of the target are made.

        Raises LakeFileNotFoundError (also when an earlier, interrupted call had already moved it: the caller checks
        first) and, with overwrite=False, LakeFileExistsError.
        """

    async def rename_directory(self, source: str, target: str) -> None:
        """Move a whole tree in one atomic step; parents of the target are made.

        Raises LakeFileNotFoundError without a source directory, LakeFileExistsError if the target exists in any form.
        """

    async def delete(self, path: str) -> None:
        """Remove a file or a whole directory tree, in one step for a reader. Missing is fine."""

    async def sweep(self, *, older_than_sec: float) -> int:
        """Remove what killed writers left behind, unseen, if it is older than `older_than_sec`; returns how many.

        Give it more seconds than any upload takes: a live upload looks the same.
        """

    async def aclose(self) -> None:
        """Release connections; the lake is unusable afterwards."""

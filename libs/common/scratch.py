"""Temporary files of a process and of one piece of its work: gone in every end; a full disk is told as what it is."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from libs.common.errors import TransientError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ScratchFullError(TransientError):
    """The disk under SCRATCH_DIR is full."""

    code = "scratch_full"
    next_step = (
        "Free space under SCRATCH_DIR or point it to a larger disk; the work is tried again. "
        "Smaller parts (PART_MAX_EVENTS, PART_MAX_BYTES) need less."
    )


@contextmanager
def process_folder(root: Path, name: str) -> Iterator[Path]:
    """A folder `{root}/{name}-…` of this process alone, gone when the context ends.

    What processes of this `name` left that were killed is removed. Whether one lives is told by the lock that it holds
    on its folder: process ids say nothing about containers that share a volume.
    """
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{name}-*"):
        _remove_unless_held(left)
    folder, held = _claim(root, name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _remove_unless_held(folder: Path) -> None:
    try:
        lock = _lock(folder)
    except OSError:
        return  # held, or gone meanwhile
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _claim(root: Path, name: str) -> tuple[Path, int]:
    """A new folder and the descriptor that holds it. One that another process clears away at once is made again."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
        try:
            lock = _lock(folder)
        except (FileNotFoundError, BlockingIOError):
            continue
        if folder.exists():
            return folder, lock
        os.close(lock)


def _lock(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def scratch_folder(root: Path, purpose: str) -> Iterator[Path]:
    """A new folder below `root`, removed with all that is in it when the context ends, however it ends.

    Raises ScratchFullError, also for work inside the context that finds no space left.
    """
    try:
        # What a cancelled worker process still writes must not turn the cancellation into an error.
        with tempfile.TemporaryDirectory(dir=root, prefix=f"{purpose}-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno in _FULL:
            raise ScratchFullError(f"No space left under {root} for {purpose}: {error.strerror}.") from error
        raise

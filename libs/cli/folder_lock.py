"""One local run at a time in a data folder: two brokers on one file would each serve half of the messages."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from libs.common.errors import TerminalError


class FolderUnusableError(TerminalError):
    """The data folder cannot be made or written."""

    code = "folder_unusable"
    next_step = "Give a folder with --data-dir in which this user may write, on a disk with room."


class FolderInUseError(TerminalError):
    """Another command works in this data folder."""

    code = "folder_in_use"
    next_step = "Wait for it to end, or give another folder with --data-dir."


def lock_folder(folder: Path) -> IO[str]:
    """Make `folder` and hold it until the returned file is closed or the process ends.

    Raises FolderUnusableError, FolderInUseError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise FolderUnusableError(f"{folder} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise FolderInUseError(f"{folder} is in use by process {holder}.") from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file

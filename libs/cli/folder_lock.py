"""One local run at a time in a data folder: two brokers on one file would each serve half of the messages."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from libs.common.errors import TerminalError


class FolderInUseError(TerminalError):
    """Another command works in this data folder."""

    code = "folder_in_use"
    next_step = "Wait for it to end, or give another folder with --data-dir."


def lock_folder(folder: Path) -> IO[str]:
    """Hold `folder` until the returned file is closed or the process ends. Raises FolderInUseError."""
    file = (folder / "lock").open("a+")
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

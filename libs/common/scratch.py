"""Temporary files of one piece of work: gone in every end, and a full disk is told as what it is."""

import errno
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

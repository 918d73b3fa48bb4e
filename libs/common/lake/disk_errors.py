"""The operating system's errors into the lake's, by errno."""

import errno
import os
from typing import Final

from libs.common.lake.errors import (
    LakeAccessError,
    LakeError,
    LakeFileExistsError,
    LakeFileNotFoundError,
    LakeFullError,
    LakePathError,
    LakeUnavailableError,
)

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_WRONG_KIND: Final = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
_TAKEN: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY})


def from_os(error: OSError, what: str) -> LakeError:
    """The LakeError for `error`; `what` says which path of which lake. What the disk says is part of the message."""
    where = error.filename2 or error.filename
    reason = f"{error.strerror or error}{f' ({where})' if where else ''}"
    if error.errno == errno.ENOENT:
        return LakeFileNotFoundError(f"There is no file for {what}: {reason}.")
    if error.errno in _TAKEN:
        return LakeFileExistsError(f"The target for {what} exists already: {reason}.")
    if error.errno in _FULL:
        return LakeFullError(f"No space left for {what}: {reason}.")
    if error.errno in _DENIED:
        return LakeAccessError(
            f"No permission for {what}: {reason}.",
            next_step=f"Make the directory readable and writable for the service's user (id {os.geteuid()}).",
        )
    if error.errno in _WRONG_KIND:
        return LakePathError(f"{what} cannot be used as asked: {reason}.")
    return LakeUnavailableError(f"The disk failed for {what}: {reason}.")

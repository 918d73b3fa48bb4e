"""Checksums of local files, streamed."""

import hashlib
from pathlib import Path
from typing import NamedTuple


class FileDigest(NamedTuple):
    """SHA-256 in lower-case hex, and the number of bytes it was taken over."""

    sha256: str
    size_bytes: int


def sha256_file(path: Path) -> FileDigest:
    """Digest a file in constant memory. Blocks on the disk: call it through `asyncio.to_thread`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileDigest(digest.hexdigest(), file.tell())

"""Between a local file and a `BlobRef`: what messages carry instead of data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from libs.common.errors import TerminalError, TransientError
from libs.common.lake import Lake, LakeFileNotFoundError, sha256_file
from libs.common.messages import BlobRef


class ForeignBlobError(TerminalError):
    """A message refers to a file outside this lake."""

    code = "blob_foreign"
    next_step = "Give all services the same LAKE_URL, then replay the message."


class BlobMismatchError(TerminalError):
    """A file in the lake is not the one that the message refers to."""

    code = "blob_mismatch"
    next_step = "Find out who changed the file (the store's own logs), then publish the week again with --force."


class BlobMissingError(TransientError):
    """A file that a message refers to is not in the lake."""

    code = "blob_missing"
    next_step = "It is looked for again. If retention removed the run's files, publish the week again with --force."


async def store(lake: Lake, local: Path, path: str, rows: int) -> BlobRef:
    """Put a local file into the lake; the reference for a message. The same file and path give the same reference.

    Raises LakeError.
    """
    digest = await asyncio.to_thread(sha256_file, local)
    await lake.put_file(local, path)
    return BlobRef(url=url_of(lake, path), sha256=digest.sha256, size_bytes=digest.size_bytes, rows=rows)


def url_of(lake: Lake, path: str) -> str:
    """The absolute, percent-encoded URL of a path in the lake."""
    return f"{lake.url.rstrip('/')}/{quote(path)}"


def path_of(lake: Lake, ref: BlobRef) -> str:
    """The path inside the lake. Raises ForeignBlobError where the URL is not below the lake's root."""
    root = f"{lake.url.rstrip('/')}/"
    path = unquote(ref.url.removeprefix(root))
    if not ref.url.startswith(root) or not path or ".." in path.split("/"):
        raise ForeignBlobError(f"{ref.url} is not in the lake {lake.url}.")
    return path


@asynccontextmanager
async def open_blob(lake: Lake, ref: BlobRef, scratch: Path) -> AsyncIterator[Path]:
    """A local, readable copy (of a folder's lake: the file itself; never write to it), verified against the reference.

    Raises BlobMissingError, BlobMismatchError, ForeignBlobError, LakeError.
    """
    path = path_of(lake, ref)
    async with AsyncExitStack() as stack:
        try:
            local = await stack.enter_async_context(lake.local_copy(path, scratch))
        except LakeFileNotFoundError as error:
            raise BlobMissingError(f"{ref.url} is not there.") from error
        await _verify(local, ref)
        yield local


async def _verify(local: Path, ref: BlobRef) -> None:
    digest = await asyncio.to_thread(sha256_file, local)
    if digest.size_bytes != ref.size_bytes:
        raise BlobMismatchError(f"{ref.url} has {digest.size_bytes} bytes, not {ref.size_bytes}.")
    if digest.sha256 != ref.sha256:
        raise BlobMismatchError(f"{ref.url} has the right size but other content than when it was written.")

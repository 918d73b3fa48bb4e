"""Moving bytes to and from one file in ADLS Gen2, a bounded chunk at a time."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from azure.storage.filedatalake.aio import DataLakeFileClient

from libs.common.lake.adls_client import CHUNK_BYTES


async def chunks_of_file(local: Path) -> AsyncIterator[bytes]:
    """The content of a local file, read off the event loop."""
    file = await asyncio.to_thread(local.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        file.close()


async def chunks_of_bytes(data: bytes) -> AsyncIterator[bytes]:
    """`data` in pieces of CHUNK_BYTES."""
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


async def upload(file: DataLakeFileClient, chunks: AsyncIterator[bytes], *, metadata: dict[str, str]) -> None:
    """Write a new file, replacing one of that name. Not atomic: readers see it grow, so give it a temporary name.

    The SDK's `upload_data` is avoided: it sends nothing at all for empty data, and holds 100 MiB at a time. Create,
    append and flush at a given offset may each be repeated by the SDK without harm.
    """
    await file.create_file(metadata=metadata)
    offset = 0
    async for chunk in chunks:
        # As a stream, because the HTTP client sends a large bytes object in one go, which holds up the event loop.
        await file.append_data(io.BytesIO(chunk), offset=offset, length=len(chunk))
        offset += len(chunk)
    if offset:
        await file.flush_data(offset, close=True)


async def download(file: DataLakeFileClient, sink: BinaryIO) -> None:
    """Write the whole content into `sink`. Raises ResourceModifiedError if another file takes the name meanwhile."""
    stream = await file.download_file()
    async for chunk in stream.chunks():
        await asyncio.to_thread(sink.write, chunk)

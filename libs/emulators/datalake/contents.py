"""The bytes: one file per content, written and read in pieces."""

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

PIECE_BYTES = 1 << 20


class Contents:
    """Files named by chance in one directory. Nothing here knows which path they belong to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def new_name() -> str:
        """A name that was never used."""
        return uuid.uuid4().hex

    async def write_new(self, pieces: AsyncIterator[bytes]) -> tuple[str, int]:
        """Write a stream to a file of its own; returns its name and size. Leaves nothing if the stream breaks off."""
        name = uuid.uuid4().hex
        try:
            return name, await self.write(name, 0, pieces)
        except BaseException:
            self.remove([name])
            raise

    async def write(self, name: str, position: int, pieces: AsyncIterator[bytes]) -> int:
        """Write a stream at an offset, making the file if need be; returns its length in bytes."""
        descriptor = await asyncio.to_thread(os.open, self._directory / name, os.O_WRONLY | os.O_CREAT, 0o644)
        written = 0
        try:
            async for piece in pieces:
                await asyncio.to_thread(_write_all, descriptor, piece, position + written)
                written += len(piece)
        finally:
            os.close(descriptor)
        return written

    async def read(self, name: str, start: int, length: int) -> AsyncIterator[bytes]:
        """The bytes of a range. An open file stays readable when its name is removed meanwhile."""
        if not length:
            return
        descriptor = await asyncio.to_thread(os.open, self._directory / name, os.O_RDONLY)
        try:
            end = start + length
            while start < end:
                piece = await asyncio.to_thread(os.pread, descriptor, min(PIECE_BYTES, end - start), start)
                if not piece:
                    raise OSError(f"The content file {name} is shorter than recorded: it ends at {start}, not {end}.")
                yield piece
                start += len(piece)
        finally:
            os.close(descriptor)

    async def join(self, name: str, parts: Iterable[str]) -> None:
        """Make a file out of others, in order."""
        await asyncio.to_thread(self._join, name, list(parts))

    def _join(self, name: str, parts: list[str]) -> None:
        with (self._directory / name).open("wb") as target:
            for part in parts:
                with (self._directory / part).open("rb") as source:
                    shutil.copyfileobj(source, target, PIECE_BYTES)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; "" and missing ones are fine."""
        for name in filter(None, names):
            (self._directory / name).unlink(missing_ok=True)

    def remove_all_but(self, names: set[str]) -> None:
        """Remove what a crash left behind."""
        self.remove(file.name for file in self._directory.iterdir() if file.name not in names)


def _write_all(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written

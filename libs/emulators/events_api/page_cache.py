"""Rendered pages in files, so that what is measured against the emulator is not the emulator."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path


class PageCache:
    """Bodies under a folder: a page that was rendered once costs a read from then on, also after a restart.

    ``contents`` names everything that a body depends on besides its ``name``; other contents never meet in one file.
    Several emulators may share a folder. Nothing is ever removed.
    """

    def __init__(self, folder: Path, contents: object) -> None:
        self._folder = folder / blake2b(repr(contents).encode(), digest_size=8).hexdigest()
        self._folder.mkdir(parents=True, exist_ok=True)

    def body(self, name: str, render: Callable[[], bytes]) -> bytes:
        """Return the body that is kept under a name; render and keep it where there is none."""
        file = self._folder / name
        with suppress(FileNotFoundError):
            return file.read_bytes()
        body = render()
        unfinished = file.with_name(f"{name}.{os.getpid()}")
        unfinished.write_bytes(body)
        unfinished.replace(file)
        return body

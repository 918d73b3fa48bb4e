"""One storage account: its state on disk, its key, its clock."""

import base64
import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from libs.emulators.datalake import database
from libs.emulators.datalake.contents import Contents
from libs.emulators.datalake.namespace import Namespace
from libs.emulators.datalake.uploads import Uploads

DEFAULT_ACCOUNT = "devacct"
# Known to everybody on purpose: it guards nothing, but clients insist on signing with something.
DEFAULT_KEY = base64.b64encode(hashlib.sha512(b"local data lake emulator").digest()).decode()


class Account:
    """State below a directory; opening it again finds everything that was answered, also after kill -9."""

    def __init__(
        self,
        directory: Path,
        *,
        name: str = DEFAULT_ACCOUNT,
        key: str = DEFAULT_KEY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.key = key
        self.now = clock
        self._sql: sqlite3.Connection = database.connect(directory / "names.sqlite")
        self.namespace = Namespace(self._sql)
        self.uploads = Uploads(self._sql)
        self.contents = Contents(directory / "contents")
        self.contents.remove_all_but(self._named_contents())

    def connection_string(self, host: str, port: int) -> str:
        """What clients are given. BlobEndpoint is the one that the Python SDK goes by, also for DFS."""
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/{self.name}"
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.name};AccountKey={self.key};"
            f"BlobEndpoint={url};DfsEndpoint={url};"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes of names, leases and uploads inside happen together or not at all. Await nothing inside."""
        with database.transaction(self._sql):
            yield

    def discard(self, contents: list[str]) -> None:
        """Remove content that no name refers to any more, with what was appended to it. Call it after the commit."""
        with self.transaction():
            for content in contents:
                self.uploads.drop_extents(content)
        self.contents.remove(contents)

    def ensure_container(self, name: str) -> None:
        """Make a container unless it exists."""
        if self.namespace.container(name) is None:
            self.namespace.add_container(name, self.now())

    def close(self) -> None:
        """Close the database."""
        self._sql.close()

    def _named_contents(self) -> set[str]:
        return {row[0] for row in self._sql.execute("SELECT content FROM node UNION SELECT content FROM block")}

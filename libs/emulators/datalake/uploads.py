"""What was sent but not committed: extents (append … flush) and blocks (put block … put block list)."""

import sqlite3
from typing import NamedTuple


class Block(NamedTuple):
    """One uncommitted block: the file that holds it, and its size."""

    content: str
    size: int


class Uploads:
    """Books about uncommitted data; the bytes lie in content files. Transactions are the callers'."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection

    def add_extent(self, content: str, position: int, length: int) -> None:
        """Note bytes that were appended behind the committed ones; a repetition replaces."""
        self._sql.execute("INSERT OR REPLACE INTO extent VALUES (?, ?, ?)", (content, position, length))

    def reach(self, content: str, start: int) -> int:
        """Where the extents that join on to `start` without a gap end."""
        rows = self._sql.execute("SELECT position, length FROM extent WHERE content = ? ORDER BY position", (content,))
        end = start
        for position, length in rows:
            if position > end:
                break
            end = max(end, position + length)
        return end

    def drop_extents(self, content: str) -> None:
        """Forget what was appended to a content."""
        self._sql.execute("DELETE FROM extent WHERE content = ?", (content,))

    def add_block(self, container: str, path: str, block_id: str, block: Block) -> None:
        """Note a block; a repetition replaces."""
        self._sql.execute("INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?)", (container, path, block_id, *block))

    def blocks(self, container: str, path: str) -> dict[str, Block]:
        """The uncommitted blocks of a path, by id."""
        rows = self._sql.execute(
            "SELECT block_id, content, size FROM block WHERE container = ? AND path = ?", (container, path)
        )
        return {block_id: Block(content, size) for block_id, content, size in rows}

    def drop_blocks(self, container: str, path: str) -> None:
        """Forget the blocks of a path."""
        self._sql.execute("DELETE FROM block WHERE container = ? AND path = ?", (container, path))

    def drop_all_blocks(self, container: str) -> list[str]:
        """Forget the blocks of a whole container; returns the contents that held them."""
        rows = self._sql.execute("DELETE FROM block WHERE container = ? RETURNING content", (container,))
        return [row[0] for row in rows]

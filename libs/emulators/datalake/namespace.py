"""The tree of names: containers, directories, files."""

import json
import math
import sqlite3
from collections.abc import Iterator
from typing import Any

from libs.emulators.datalake.nodes import Container, Lease, Node, new_etag, parent_of

_COLUMNS = (
    "container, path, is_directory, created_at, modified_at, etag, content, size, headers, metadata,"
    " lease_id, lease_duration_sec, lease_until, lease_breaking"
)


class Namespace:
    """Reads and writes nodes. Rules (conditions, leases, kinds) are the callers'; so is the transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection

    def containers(self) -> list[Container]:
        """All, by name."""
        return [
            Container(*row) for row in self._sql.execute("SELECT name, etag, modified_at FROM container ORDER BY name")
        ]

    def container(self, name: str) -> Container | None:
        """One, or None."""
        rows = self._sql.execute("SELECT name, etag, modified_at FROM container WHERE name = ?", (name,))
        return next((Container(*row) for row in rows), None)

    def add_container(self, name: str, now: float) -> Container:
        """Make an empty one; the caller knows that it does not exist."""
        container = Container(name, new_etag(), now)
        self._sql.execute(
            "INSERT INTO container VALUES (?, ?, ?)", (container.name, container.etag, container.modified_at)
        )
        return container

    def remove_container(self, name: str) -> list[str]:
        """Remove it with everything in it; returns the contents that nobody names any more."""
        contents = [row[0] for row in self._sql.execute("SELECT content FROM node WHERE container = ?", (name,))]
        self._sql.execute("DELETE FROM node WHERE container = ?", (name,))
        self._sql.execute("DELETE FROM container WHERE name = ?", (name,))
        return contents

    def find(self, container: str, path: str) -> Node | None:
        """A file or directory by its path."""
        rows = self._sql.execute(f"SELECT {_COLUMNS} FROM node WHERE container = ? AND path = ?", (container, path))
        return next((_node(row) for row in rows), None)

    def save(self, node: Node) -> None:
        """Insert or replace."""
        lease = node.lease
        self._sql.execute(
            f"INSERT OR REPLACE INTO node ({_COLUMNS}, parent) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                node.container, node.path, node.is_directory, node.created_at, node.modified_at, node.etag,
                node.content, node.size, json.dumps(node.headers), json.dumps(node.metadata),
                lease and lease.id, lease and _seconds(lease.duration_sec), lease and _seconds(lease.until),
                lease and lease.breaking, parent_of(node.path),
            ),
        )  # fmt: skip

    def make_directories(self, container: str, path: str, now: float) -> str | None:
        """Make every missing directory above `path`; returns the path of a file that is in the way, or None."""
        names = path.split("/")[:-1]
        for depth in range(1, len(names) + 1):
            ancestor = "/".join(names[:depth])
            node = self.find(container, ancestor)
            if node is None:
                self.save(Node(container, ancestor, is_directory=True, created_at=now, modified_at=now))
            elif not node.is_directory:
                return ancestor
        return None

    def has_children(self, container: str, path: str) -> bool:
        """Whether a directory holds anything."""
        rows = self._sql.execute("SELECT 1 FROM node WHERE container = ? AND parent = ? LIMIT 1", (container, path))
        return rows.fetchone() is not None

    def children(self, container: str, directory: str, *, after: str, limit: int, recursive: bool) -> list[Node]:
        """Nodes in (or, recursively, below) a directory, by path, from behind the path `after`."""
        scope, bounds = "parent = ?", [directory]
        if recursive:
            scope, bounds = "path > ? AND path < ?", list(_below(directory))
        rows = self._sql.execute(
            f"SELECT {_COLUMNS} FROM node WHERE container = ? AND {scope} AND path > ? ORDER BY path LIMIT ?",
            (container, *bounds, after, limit),
        )
        return [_node(row) for row in rows]

    def with_prefix(self, container: str, prefix: str) -> Iterator[Node]:
        """Nodes whose path begins with a text, by path."""
        rows = self._sql.execute(
            f"SELECT {_COLUMNS} FROM node WHERE container = ? AND substr(path, 1, ?) = ? ORDER BY path",
            (container, len(prefix), prefix),
        )
        return (_node(row) for row in rows)

    def remove_tree(self, container: str, path: str) -> list[str]:
        """Remove a node and what is below it; returns the contents that nobody names any more."""
        where, bounds = _tree(container, path)
        contents = [row[0] for row in self._sql.execute(f"SELECT content FROM node WHERE {where}", bounds)]
        self._sql.execute(f"DELETE FROM node WHERE {where}", bounds)
        return contents

    def move_tree(self, source: tuple[str, str], target: tuple[str, str]) -> None:
        """Give a node, and what is below it, another (container, path); the target is free. Leases end."""
        where, bounds = _tree(*source)
        cut = len(source[1]) + 1
        self._sql.execute(
            f"UPDATE node SET container = ?, path = ? || substr(path, ?), lease_id = NULL,"
            f" parent = CASE WHEN path = ? THEN ? ELSE ? || substr(parent, ?) END WHERE {where}",
            (target[0], target[1], cut, source[1], parent_of(target[1]), target[1], cut, *bounds),
        )


def _below(directory: str) -> tuple[str, str]:
    """The open range of the paths below: '0' follows '/', so it holds what begins with "directory/", nothing else."""
    return (f"{directory}/", f"{directory}0") if directory else ("", "\U0010ffff")


def _tree(container: str, path: str) -> tuple[str, tuple[str, ...]]:
    return "container = ? AND (path = ? OR (path > ? AND path < ?))", (container, path, *_below(path))


def _seconds(value: float) -> float:
    return -1.0 if math.isinf(value) else value


def _node(row: tuple[Any, ...]) -> Node:
    container, path, is_directory, created_at, modified_at, etag, content, size, headers, metadata, *lease = row
    return Node(
        container=container,
        path=path,
        is_directory=bool(is_directory),
        created_at=created_at,
        modified_at=modified_at,
        etag=etag,
        content=content,
        size=size,
        headers=json.loads(headers),
        metadata=json.loads(metadata),
        lease=_lease(*lease) if lease[0] else None,
    )


def _lease(lease_id: str, duration_sec: float, until: float, breaking: int) -> Lease:
    return Lease(
        id=lease_id,
        duration_sec=math.inf if duration_sec < 0 else duration_sec,
        until=math.inf if until < 0 else until,
        breaking=bool(breaking),
    )

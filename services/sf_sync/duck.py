"""DuckDB as this service uses it: a bounded amount of memory, the rest on disk, files in and files out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

_MEMORY: Final = "64MB"
_THREADS: Final = 1
_FLUSH: Final = "4MB"
_ROW_GROUP_ROWS: Final = 20_000


class Duck:
    """A connection of one thread. Names and paths that go into SQL are quoted by `name` and `text`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The whole result; for small ones."""
        return self._connection.execute(sql).fetchall()

    def one(self, sql: str) -> tuple[Any, ...]:
        """The only row of a result."""
        (row,) = self.rows(sql)
        return row

    def register(self, view: str, rows: pa.Table) -> None:
        """Show a table in memory to SQL under this name, in place of the one before."""
        self._connection.register(view, rows)

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """A result a piece at a time; to be read to its end."""
        yield from self._connection.sql(sql).to_arrow_reader(_ROW_GROUP_ROWS)

    def write(self, sql: str, target: Path) -> int:
        """Write a query's result as Parquet; returns its rows."""
        options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP_ROWS}"
        (count,) = self.one(f"COPY ({sql}) TO {text(str(target))} ({options})")
        return int(count)


@contextmanager
def open_duck(scratch: Path) -> Iterator[Duck]:
    """An empty database in memory that spills into `scratch`."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "threads": _THREADS,
        # Else its allocator keeps what it is done with, beside what Arrow and the next connection take.
        "allocator_flush_threshold": _FLUSH,
        "allocator_bulk_deallocation_flush_threshold": _FLUSH,
        "temp_directory": str(scratch / "duckdb"),
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        yield Duck(connection)


def name(identifier: str) -> str:
    """A quoted identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """A quoted string."""
    return "'" + value.replace("'", "''") + "'"


def parquet(files: Sequence[Path], *, by_name: bool = False) -> str:
    """A table function that reads the files as one table."""
    listed = ", ".join(text(str(file)) for file in files)
    return f"read_parquet([{listed}], union_by_name = {str(by_name).lower()}, hive_partitioning = false)"

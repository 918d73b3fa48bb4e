"""What Salesforce last accepted, against what the week says now. DuckDB over Parquet; blocks: call it in a thread.

The snapshot holds every accepted row in canonical form under its external id. Only rows that are new or differ in a
compared field are sent, and only accepted rows enter, so a failed row comes again by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from services.sf_sync.bulk_job import RowOutcome
from services.sf_sync.canonical import FAULT_CODE, KEY, REPEATED_ID, canonical_batch, canonical_schema
from services.sf_sync.mapping import ResolvedMapping

BATCH_ROWS = 10_000
_OUTCOMES = pa.schema(
    [("external_id", pa.string()), ("created", pa.bool_()), ("code", pa.string()), ("message", pa.string())]
)


class Diff:
    """The tables of one sync, in a database file of its own so that a week need not fit into memory."""

    def __init__(self, folder: Path, mapping: ResolvedMapping, *, memory_limit: str = "128MB") -> None:
        self._mapping = mapping
        folder.mkdir(parents=True, exist_ok=True)
        self._db = duckdb.connect(
            config={
                "memory_limit": memory_limit,
                "threads": 1,
                "temp_directory": str(folder / "duckdb"),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    def load(self, signals: Path, snapshot: Path | None, *, full: bool) -> None:
        """Read the week and the snapshot (None: nothing was accepted yet) and decide what is to be sent."""
        file = pq.ParquetFile(signals)
        batches = (canonical_batch(batch, self._mapping) for batch in file.iter_batches(BATCH_ROWS))
        self._db.register("incoming", pa.RecordBatchReader.from_batches(canonical_schema(self._mapping), batches))
        self._run("CREATE TABLE week AS SELECT * FROM incoming")
        self._db.unregister("incoming")
        self._run(f"""
            UPDATE week SET {FAULT_CODE} = '{REPEATED_ID}'
            WHERE {FAULT_CODE} IS NULL AND lower({KEY}) IN
                (SELECT lower({KEY}) FROM week WHERE {KEY} IS NOT NULL GROUP BY 1 HAVING count(*) > 1)""")
        columns = ", ".join(f'"{name}"' for name in (KEY, *self._mapping.names))
        source = "SELECT * FROM week LIMIT 0" if snapshot is None else f"FROM read_parquet('{_quoted(snapshot)}')"
        self._run(f"CREATE TABLE accepted AS SELECT {columns} FROM ({source})")
        compared = [field.field for field in self._mapping.fields if field.compare]
        differs = " OR ".join(f'w."{name}" IS DISTINCT FROM a."{name}"' for name in compared)
        condition = "true" if full else f"a.{KEY} IS NULL OR {differs}"
        self._run(f"""
            CREATE TABLE to_send AS SELECT w.* FROM week w LEFT JOIN accepted a USING ({KEY})
            WHERE w.{FAULT_CODE} IS NULL AND ({condition}) ORDER BY w.{KEY}""")
        self._db.register("incoming", _OUTCOMES.empty_table())
        self._run("CREATE TABLE outcome AS SELECT * FROM incoming")
        self._db.unregister("incoming")

    def rows_to_send(self) -> Iterator[pa.RecordBatch]:
        """What is new or changed, by external id."""
        reader = self._db.execute(f"SELECT * FROM to_send ORDER BY {KEY}").to_arrow_reader(BATCH_ROWS)
        yield from reader  # type: ignore[misc] # an Arrow reader, which DuckDB leaves untyped

    def note(self, outcomes: Sequence[RowOutcome]) -> None:
        """Take in outcomes; the last word on a row counts."""
        rows = [
            {"external_id": o.external_id, "created": o.created, "code": o.code, "message": o.message} for o in outcomes
        ]
        self._db.register("incoming", pa.Table.from_pylist(rows, schema=_OUTCOMES))
        self._run("DELETE FROM outcome WHERE external_id IN (SELECT external_id FROM incoming)")
        self._run("INSERT INTO outcome SELECT * FROM incoming")
        self._db.unregister("incoming")

    def counts(self) -> dict[str, int]:
        """created, updated, unchanged, failed, invalid, and `rows`, the week's."""
        return {
            "created": self._count("outcome WHERE code IS NULL AND created"),
            "updated": self._count("outcome WHERE code IS NULL AND NOT created"),
            "unchanged": self._count(f"week WHERE {FAULT_CODE} IS NULL") - self._count("to_send"),
            "failed": self._count("outcome WHERE code IS NOT NULL"),
            "invalid": self._count(f"week WHERE {FAULT_CODE} IS NOT NULL"),
            "rows": self._count("week"),
        }

    def top_codes(self, limit: int = 5) -> list[tuple[str, int, list[str]]]:
        """The commonest reasons with a few external ids each."""
        query = f"""
            SELECT code, count(*) AS rows, list(id ORDER BY id)[1:3] FROM (
                SELECT code, external_id AS id FROM outcome WHERE code IS NOT NULL
                UNION ALL SELECT {FAULT_CODE}, coalesce({KEY}, '') FROM week WHERE {FAULT_CODE} IS NOT NULL)
            GROUP BY code ORDER BY rows DESC, code LIMIT {limit}"""
        return [(code, rows, list(ids)) for code, rows, ids in self._run(query)]

    def write_snapshot(self, target: Path) -> None:
        """The old snapshot with the rows accepted now in it."""
        columns = ", ".join(f'"{name}"' for name in (KEY, *self._mapping.names))
        accepted = f"SELECT {columns} FROM to_send WHERE {KEY} IN (SELECT external_id FROM outcome WHERE code IS NULL)"
        kept = f"SELECT {columns} FROM accepted WHERE {KEY} NOT IN (SELECT {KEY} FROM ({accepted}))"
        self._run(
            f"COPY (SELECT * FROM ({accepted} UNION ALL {kept}) ORDER BY {KEY}) "
            f"TO '{_quoted(target)}' (FORMAT parquet, COMPRESSION zstd)"
        )

    def write_changes(self, target: Path) -> None:
        """Every row of the week: operation, status, code, message and the values as sent."""
        columns = ", ".join(f'w."{name}"' for name in self._mapping.names)
        self._run(f"""
            COPY (
                SELECT w.{KEY} AS external_id,
                    CASE WHEN w.{FAULT_CODE} IS NOT NULL THEN 'invalid' WHEN s.{KEY} IS NULL THEN 'unchanged'
                         WHEN o.code IS NOT NULL THEN 'rejected' WHEN o.created THEN 'created' ELSE 'updated'
                    END AS status,
                    coalesce(w.{FAULT_CODE}, o.code) AS code, o.message, {columns}
                FROM week w LEFT JOIN to_send s ON s.{KEY} = w.{KEY} LEFT JOIN outcome o ON o.external_id = w.{KEY}
                ORDER BY 1)
            TO '{_quoted(target)}' (FORMAT parquet, COMPRESSION zstd)""")

    def _count(self, source: str) -> int:
        return int(self._run(f"SELECT count(*) FROM {source}")[0][0])

    def _run(self, query: str) -> list[tuple[Any, ...]]:
        """Execute and fetch to the end: a result that is left open blocks the connection."""
        return self._db.execute(query).fetchall()


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")

"""DuckDB over the staged files: the only place that imports it. Blocks: call it through `asyncio.to_thread`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.errors import SettingsError
from libs.common.events.schema import EVENT_SCHEMA, REJECT_SCHEMA
from libs.common.week import Week
from services.gate.rules import Rule
from services.gate.settings import GateSettings


class RuleError(SettingsError):
    """A rule's SQL does not work."""

    code = "gate_rule_invalid"
    next_step = "Correct the rule in GATE_RULES_FILE and replay `data.loaded`."


@dataclass(frozen=True, slots=True)
class AuditedFile:
    """A staged file as the manifest tells it and as it is."""

    path: str
    local: Path
    sha256: str
    actual_sha256: str
    rows: int


class WeekAudit(AbstractContextManager["WeekAudit"]):
    """A DuckDB in memory, bounded by settings, with the week's tables (see the head of rules.toml)."""

    def __init__(self, settings: GateSettings, scratch: Path) -> None:
        self._db = duckdb.connect(
            config={
                "memory_limit": settings.gate_memory_limit,
                "threads": settings.gate_threads,
                "temp_directory": str(scratch / "duckdb"),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        # Time zones are an extension that ships inside the wheel; loading it asks no network.
        self._rows("LOAD icu")
        self._rows("SET TimeZone = 'UTC'")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def load(
        self,
        week: Week,
        refreshed_at: datetime,
        events: Sequence[AuditedFile],
        rejects: Sequence[AuditedFile],
        counts: dict[str, int | None],
    ) -> None:
        """Make the tables of the week itself."""
        self._view("events", events, EVENT_SCHEMA)
        self._view("rejects", rejects, REJECT_SCHEMA)
        week_row = {
            "week_start": week.start,
            "week_end": week.end,
            "opens_at": week.opens_at,
            "closes_at": week.closes_at,
            "refreshed_at": refreshed_at,
        }
        self._table("week", [week_row], _WEEK)
        self._table("counts", [counts], pa.schema([(name, pa.int64()) for name in counts]))
        files = [
            {
                "path": file.path,
                "sha256": file.sha256,
                "actual_sha256": file.actual_sha256,
                "rows": file.rows,
                "actual_rows": pq.read_metadata(file.local).num_rows,
            }
            for file in (*events, *rejects)
        ]
        self._table("files", files, _FILES)
        self._table("null_shares", self._null_shares(), _SHARES)

    def load_history(self, profiles: Sequence[dict[str, Any]]) -> None:
        """Make the tables of the passed weeks from their profiles (see `profile`)."""
        volumes = [{"week_start": past["week_start"], "rows_valid": past["rows_valid"]} for past in profiles]
        self._table("history", volumes, pa.schema([("week_start", pa.string()), ("rows_valid", pa.int64())]))
        by_column: dict[str, list[float]] = {}
        for past in profiles:
            for column, share in past["null_shares_pct"].items():
                by_column.setdefault(column, []).append(share)
        means = [{"column_name": name, "share_pct": sum(all_) / len(all_)} for name, all_ in sorted(by_column.items())]
        self._table("history_null_shares", means, _SHARES)

    def profile(self, week: Week) -> dict[str, Any]:
        """What later weeks are compared with; kept in the stage's details."""
        shares = self._rows("SELECT column_name, share_pct FROM null_shares")
        return {
            "week_start": week.start.isoformat(),
            "rows_valid": self._one("SELECT count(*) FROM events"),
            "null_shares_pct": {name: round(share, 4) for name, share in shares},
        }

    def value(self, rule: Rule) -> Decimal | None:
        """The number that a rule's SQL gives. Raises RuleError where it gives none."""
        try:
            rows = self._rows(rule.sql)
            if len(rows) != 1 or len(rows[0]) != 1:
                raise RuleError(f"Rule {rule.name!r} must give one row with one number.")
            return None if rows[0][0] is None else Decimal(str(rows[0][0]))
        except (duckdb.Error, ArithmeticError) as error:
            raise RuleError(f"Rule {rule.name!r} does not work: {error}.") from error

    def sample(self, rule: Rule, limit: int, target: Path) -> int:
        """Write at most `limit` failing rows of a rule to a Parquet file; returns how many there are in all."""
        if rule.failing_rows is None:
            raise RuleError(f"Rule {rule.name!r} has no failing_rows.")
        try:
            total = self._one(f"SELECT count(*) FROM ({rule.failing_rows})")
            self._copy(f"SELECT * FROM ({rule.failing_rows}) LIMIT {limit}", target)
        except duckdb.Error as error:
            raise RuleError(f"The failing_rows of rule {rule.name!r} do not work: {error}.") from error
        return total

    def write(self, query: str, target: Path) -> int:
        """Write a query's rows to a Parquet file in the query's order; returns their number."""
        self._copy(query, target)
        return int(pq.read_metadata(target).num_rows)

    def _copy(self, query: str, target: Path) -> None:
        name = str(target).replace("'", "''")
        self._rows(f"COPY ({query}) TO '{name}' (FORMAT parquet, COMPRESSION zstd)")

    def _view(self, name: str, files: Sequence[AuditedFile], schema: pa.Schema) -> None:
        if not files:
            self._table(name, [], schema)
            return
        self._db.read_parquet([str(file.local) for file in files], hive_partitioning=False).create_view(name)

    def _table(self, name: str, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
        table = pa.Table.from_pylist(list(rows), schema=schema)
        self._db.register("incoming", table)
        self._rows(f"CREATE TABLE {name} AS SELECT * FROM incoming")
        self._db.unregister("incoming")

    def _null_shares(self) -> list[dict[str, Any]]:
        columns = ", ".join(f"100.0 * count(*) FILTER ({name} IS NULL) / count(*) AS {name}" for name in _NULLABLE)
        shares = zip(_NULLABLE, self._rows(f"SELECT {columns} FROM events")[0], strict=True)
        return [{"column_name": name, "share_pct": float(share)} for name, share in shares if share is not None]

    def _one(self, query: str) -> int:
        return int(self._rows(query)[0][0])

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        """Execute and fetch to the end: a result that is left open blocks the connection."""
        return self._db.execute(query).fetchall()


_TIME = pa.timestamp("us", tz="UTC")
_WEEK = pa.schema(
    [
        ("week_start", pa.date32()),
        ("week_end", pa.date32()),
        ("opens_at", _TIME),
        ("closes_at", _TIME),
        ("refreshed_at", _TIME),
    ]
)
_FILES = pa.schema(
    [
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("actual_sha256", pa.string()),
        ("rows", pa.int64()),
        ("actual_rows", pa.int64()),
    ]
)
_SHARES = pa.schema([("column_name", pa.string()), ("share_pct", pa.float64())])
_NULLABLE = tuple(field.name for field in EVENT_SCHEMA if field.nullable)

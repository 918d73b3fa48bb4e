"""DuckDB over the staged files: the only place that imports it. Blocks: call it through `asyncio.to_thread`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.errors import TransientError
from libs.common.events.schema import EVENT_SCHEMA, REJECT_SCHEMA
from libs.common.week import Week
from services.gate import tables
from services.gate.row_groups import RowGroupWriter
from services.gate.rules import Rule, RuleError
from services.gate.settings import GateSettings

_BATCH_ROWS: Final = 16 * 1024
_SAMPLED_EVENTS: Final = 100_000


class AuditResourcesError(TransientError):
    """DuckDB ran out of memory or could not read or write a file."""

    code = "gate_resources"
    next_step = (
        "It is tried again. If it stays, raise GATE_MEMORY_LIMIT or lower GATE_THREADS, and see that SCRATCH_DIR has "
        "room for what spills (and for a copy of the week where the lake is no folder)."
    )


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
        self._table("week", [week_row], tables.WEEK)
        self._table("counts", [counts], tables.COUNTS)
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
        self._table("files", files, tables.FILES)
        self._table("null_shares", self._null_shares(), tables.NULL_SHARES)

    def load_history(self, profiles: Sequence[dict[str, Any]]) -> None:
        """Make the tables of the passed weeks from their profiles (see `profile`)."""
        volumes = [{"week_start": past["week_start"], "rows_valid": past["rows_valid"]} for past in profiles]
        self._table("history", volumes, tables.HISTORY)
        by_column: dict[str, list[float]] = {}
        for past in profiles:
            for column, share in past["null_shares_pct"].items():
                by_column.setdefault(column, []).append(share)
        means = [{"column_name": name, "share_pct": sum(all_) / len(all_)} for name, all_ in sorted(by_column.items())]
        self._table("history_null_shares", means, tables.NULL_SHARES)

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
                raise RuleError(f"rule {rule.name!r}: its sql must give one row with one number.")
            value = None if rows[0][0] is None else Decimal(str(rows[0][0]))
        except (duckdb.Error, ArithmeticError) as error:
            raise RuleError(f"rule {rule.name!r}: its sql does not work: {error}.") from error
        if value is not None and not value.is_finite():
            raise RuleError(f"rule {rule.name!r}: its sql gave {value}, which can be compared with nothing.")
        return value

    def sample(self, rule: Rule, limit: int, target: Path) -> int:
        """Write at most `limit` failing rows of a rule to a Parquet file; returns how many there are in all."""
        if rule.failing_rows is None:
            raise RuleError(f"rule {rule.name!r} has no failing_rows.")
        name = str(target).replace("'", "''")
        try:
            total = self._one(f"SELECT count(*) FROM ({rule.failing_rows})")
            self._rows(f"COPY (SELECT * FROM ({rule.failing_rows}) LIMIT {limit}) TO '{name}' (FORMAT parquet)")
        except duckdb.Error as error:
            raise RuleError(f"rule {rule.name!r}: its failing_rows do not work: {error}.") from error
        return total

    def customers(self) -> list[tuple[str, int]]:
        """A share of the customers, ordered by id, and how many events each stands for: all of a small week."""
        share = max(1, self._one("SELECT count(*) FROM events") // _SAMPLED_EVENTS)
        # Chosen by the hash of their ids, so that a repeat chooses the same.
        chosen = f"SELECT user_id FROM events WHERE hash(user_id) % {share} = 0"
        return self._rows(f"SELECT user_id, {share} * count(*) FROM ({chosen}) GROUP BY user_id ORDER BY user_id")

    def write(self, queries: Iterable[str], target: Path) -> int:
        """Write the rows of one query after the other to one Parquet file; returns their number."""
        with RowGroupWriter(target) as writer:
            for query in queries:
                with _resources():
                    writer.write(self._db.sql(query).to_arrow_reader(_BATCH_ROWS))
            return writer.rows

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
        columns = ", ".join(
            f"100.0 * count(*) FILTER ({name} IS NULL) / count(*) AS {name}" for name in tables.NULLABLE
        )
        shares = zip(tables.NULLABLE, self._rows(f"SELECT {columns} FROM events")[0], strict=True)
        return [{"column_name": name, "share_pct": float(share)} for name, share in shares if share is not None]

    def _one(self, query: str) -> int:
        return int(self._rows(query)[0][0])

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        """Execute and fetch to the end: a result that is left open blocks the connection."""
        with _resources():
            return self._db.execute(query).fetchall()


@contextmanager
def _resources() -> Iterator[None]:
    """Tell what the machine lacks apart from what the SQL lacks."""
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise AuditResourcesError(f"DuckDB cannot go on: {error}") from error


def try_rules(rules: Sequence[Rule], settings: GateSettings, scratch: Path) -> None:
    """Apply every rule to a week without events, so that SQL that cannot work is found at the start.

    Raises RuleError, which names the file and the rule.
    """
    week, target = Week.of(date(2000, 1, 3)), scratch / "rule.parquet"
    with WeekAudit(settings, scratch) as audit:
        audit.load(week, week.closes_at, [], [], dict.fromkeys(tables.COUNTS.names, 0))
        audit.load_history([])
        try:
            for rule in rules:
                audit.value(rule)
                if rule.failing_rows is not None:
                    audit.sample(rule, 0, target)
        except RuleError as error:
            raise RuleError(f"GATE_RULES_FILE {settings.gate_rules_file}: {error}") from error
        finally:
            target.unlink(missing_ok=True)

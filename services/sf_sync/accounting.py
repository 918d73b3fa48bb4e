"""From the outcomes of all sendings to the counts, the logs and the snapshot. All of it repeatable.

The outcome of a row is that of the last wave in which it travelled. Only accepted rows enter the snapshot. The rows are
gone through a slice at a time, in the order in which they were sent, so that memory does not grow with the week: the
rows of one sending find their outcomes in the one file that the sending left.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.synclog import CHANGES_SCHEMA, RUNS_SCHEMA, snapshot_schema
from libs.common.week import Week
from services.sf_sync import diff
from services.sf_sync.canonical import CUSTOMER, FAULT_CODE, FAULT_FIELD, KEY
from services.sf_sync.diff import OPERATION, Against
from services.sf_sync.duck import Duck, name, open_duck, parquet, text
from services.sf_sync.errors import OutcomesIncompleteError
from services.sf_sync.files import read_batches
from services.sf_sync.ledger import Plan, Result
from services.sf_sync.outcomes import Kind, Status
from services.sf_sync.verdict import Counts, TopCode, require_complete

TOP_CODES: Final = 5
SAMPLE_IDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Local copies of what one round left."""

    changes: Path
    invalid: Path
    first: Sequence[tuple[int, Path]]
    """Of wave 0: the rows of each sending, in the order of `changes`, and its outcomes."""
    later: Sequence[Path]
    """Outcomes of the further waves."""
    against: Against


@dataclass(slots=True)
class Tally:
    """Outcomes counted."""

    accepted: Counter[bool] = field(default_factory=Counter)
    """By whether they were created."""
    failed: int = 0
    sendings: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    samples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, log: pa.RecordBatch) -> None:
        """Count rows of the change log."""
        columns = ("external_id", "status", "operation", "code", "attempts")
        rows = zip(*(log.column(column).to_pylist() for column in columns), strict=True)
        for key, status, operation, code, attempts in rows:
            self.sendings += attempts
            if status == Status.ACCEPTED:
                self.accepted[operation == "create"] += 1
                continue
            self.failed += status != "invalid"
            self.codes[code] += 1
            if len(self.samples[code]) < SAMPLE_IDS:
                self.samples[code].append(str(key))

    def top(self) -> list[TopCode]:
        """The most frequent reasons."""
        return [TopCode(code, rows, self.samples[code]) for code, rows in self.codes.most_common(TOP_CODES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The figures of a round; the logs were written."""

    counts: Counts
    top: list[TopCode]
    retried: int
    """Sendings of rows after their first."""


def retry_rows(wave: Path, outcomes: Sequence[Path], kinds: Sequence[Kind], target: Path, scratch: Path) -> int:
    """Write the rows of a wave that failed in one of these ways, in the wave's order; returns how many."""
    wanted = ", ".join(text(kind.value) for kind in kinds)
    again = 0
    with (
        open_duck(scratch) as duck,
        read_batches(wave) as batches,
        pq.ParquetWriter(target, pq.read_schema(wave), compression="zstd") as writer,
    ):
        duck.rows(f"CREATE TABLE again AS SELECT {KEY} FROM {parquet(outcomes)} WHERE kind IN ({wanted})")
        for batch in batches:
            duck.register("sent", pa.Table.from_batches([batch]))
            for rows in duck.batches(f"FROM sent SEMI JOIN again USING ({KEY}) ORDER BY {CUSTOMER}, {KEY}"):
                writer.write_batch(rows)
                again += rows.num_rows
    return again


def account(
    material: Material,
    plan: Plan,
    week: Week,
    *,
    run_id: str,
    rank: str,
    changes_log: Path,
    snapshot: Path,
    scratch: Path,
) -> Account:
    """Write the change log and the snapshot of a round and count.

    Raises OutcomesIncompleteError if the outcomes are not exactly those of the rows that were sent.
    """
    tally = Tally()
    applied = diff.applied_query(plan.mapping, plan.fingerprint, run_id=run_id, rank=rank)
    with (
        open_duck(scratch) as duck,
        pq.ParquetWriter(changes_log, CHANGES_SCHEMA, compression="zstd") as log,
        pq.ParquetWriter(snapshot, snapshot_schema(plan.mapping.names), compression="zstd") as accepted,
    ):
        head = _head(plan, run_id, week)
        for batch in duck.batches(_refused(head, material.invalid)):
            _log(batch, log, tally)
        for rows, outcomes in _slices(material):
            duck.register("change", rows)
            diff.prepare_applied(duck, plan.mapping, material.against)
            _make_final(duck, outcomes, material.later)
            _require_all(duck, rows, outcomes)
            for batch in duck.batches(_sent(head)):
                _log(batch, log, tally)
            for batch in duck.batches(applied):
                accepted.write_batch(batch)
    counts = Counts(
        created=tally.accepted[True],
        updated=tally.accepted[False],
        unchanged=plan.unchanged,
        failed=tally.failed,
        invalid=plan.invalid,
    )
    require_complete(counts, plan.rows)
    return Account(counts=counts, top=tally.top(), retried=tally.sendings - plan.changes)


def run_row(plan: Plan, result: Result, week: Week, *, run_id: str, round_number: int, warning: str | None) -> pa.Table:
    """The row of `sync_runs`."""
    row: dict[str, object] = {
        "run_id": run_id,
        "week_start": week.start,
        "week_end": week.end,
        "round": round_number,
        "org": plan.org,
        "object": plan.mapping.object,
        "mapping": plan.fingerprint,
        "full_sync": plan.full_sync,
        "rows": plan.rows,
        "absent": plan.absent,
        "warning": warning,
        **{column: getattr(result.counts, column) for column in Counts.__struct_fields__},
        **{column: getattr(result, column) for column in ("retried", "jobs", "api_calls", "bulk_batches")},
        "finished_at": result.finished_at,
    }
    return pa.Table.from_pylist([row], schema=RUNS_SCHEMA)


def write_table(table: pa.Table, target: Path) -> None:
    """Parquet as the logs have it."""
    pq.write_table(table, target, compression="zstd")


def _log(batch: pa.RecordBatch, writer: pq.ParquetWriter, tally: Tally) -> None:
    writer.write_batch(batch)
    tally.add(batch)


def _slices(material: Material) -> Iterator[tuple[pa.Table, Path]]:
    """The changes in order, in slices that belong to one sending, with the sending's outcomes."""
    sendings = iter(material.first)
    left, outcomes = 0, Path()
    with read_batches(material.changes) as batches:
        for batch in batches:
            start = 0
            while start < batch.num_rows:
                if left == 0:
                    left, outcomes = next(sendings)
                rows = min(left, batch.num_rows - start)
                yield pa.Table.from_batches([batch.slice(start, rows)]), outcomes
                start, left = start + rows, left - rows


def _make_final(duck: Duck, outcomes: Path, later: Sequence[Path]) -> None:
    """`final`: for each row of `change` its last outcome and the number of its sendings."""
    own = f"SELECT o.* FROM {parquet([outcomes])} o SEMI JOIN change USING ({KEY})"
    if not later:
        duck.rows(f"CREATE OR REPLACE TEMP TABLE final AS SELECT *, 1::BIGINT AS attempts FROM ({own})")
        return
    again = f"SELECT o.* FROM {parquet(later)} o SEMI JOIN change USING ({KEY})"
    duck.rows(
        f"CREATE OR REPLACE TEMP TABLE final AS "
        f"SELECT *, count(*) OVER (PARTITION BY {KEY}) AS attempts FROM ({own} UNION ALL {again}) "
        f"QUALIFY row_number() OVER (PARTITION BY {KEY} ORDER BY wave DESC) = 1"
    )


def _require_all(duck: Duck, rows: pa.Table, outcomes: Path) -> None:
    """Each row has an outcome. As the file has as many outcomes as rows were sent, it then has no others."""
    (found,) = duck.one(f"SELECT count(DISTINCT {KEY}) FROM final")
    if found != rows.num_rows:
        raise OutcomesIncompleteError(
            f"Of {rows.num_rows} rows {rows.num_rows - found} have no outcome in {outcomes.name}: Salesforce reports "
            "other external ids than were sent."
        )


def _head(plan: Plan, run_id: str, week: Week) -> str:
    members = ", ".join(f"{name(one)} := r.{name(one)}" for one in plan.mapping.names)
    return (
        f"CAST(to_json(struct_pack({members})) AS VARCHAR) AS payload, {text(run_id)} AS run_id, "
        f"{_day(week.start)} AS week_start, {_day(week.end)} AS week_end, "
        f"r.{KEY} AS external_id, r.{CUSTOMER} AS customer_id"
    )


def _day(day: date) -> str:
    return f"DATE {text(day.isoformat())}"


def _sent(head: str) -> str:
    """The change log's rows of `change`."""
    rows = _as_logged(
        f"SELECT {head}, if(f.status = 'accepted', if(f.created, 'create', 'update'), r.{OPERATION}) AS operation, "
        f"f.status, f.code, f.kind, f.message, f.salesforce_id, f.job_id, f.attempts "
        f"FROM change r JOIN final f USING ({KEY})"
    )
    return f"{rows} ORDER BY customer_id, external_id"


def _refused(head: str, invalid: Path) -> str:
    """The change log's rows that were not sent, as they come; the message names the field at fault."""
    return _as_logged(
        f"SELECT {head}, NULL::VARCHAR AS operation, 'invalid' AS status, r.{FAULT_CODE} AS code, "
        f"{text(Kind.PERMANENT)} AS kind, r.{FAULT_FIELD} AS message, NULL::VARCHAR AS salesforce_id, "
        f"NULL::VARCHAR AS job_id, 0::BIGINT AS attempts FROM {parquet([invalid])} r"
    )


def _as_logged(query: str) -> str:
    columns = ", ".join(name(column.name) for column in CHANGES_SCHEMA)
    return f"SELECT {columns} FROM ({query})"

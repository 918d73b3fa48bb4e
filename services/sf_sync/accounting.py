"""From the outcomes of all sendings to the counts, the logs and the snapshot. SQL over files; all of it repeatable.

The outcome of a row is that of the last wave in which it travelled. Only accepted rows enter the snapshot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.synclog import CHANGES_SCHEMA, RUNS_SCHEMA
from libs.common.week import Week
from services.sf_sync import diff
from services.sf_sync.canonical import CUSTOMER, FAULT_CODE, FAULT_FIELD, KEY
from services.sf_sync.diff import OPERATION, Against
from services.sf_sync.duck import Duck, name, open_duck, parquet, text
from services.sf_sync.errors import OutcomesIncompleteError
from services.sf_sync.ledger import Plan, Result
from services.sf_sync.mapping import ResolvedMapping
from services.sf_sync.outcomes import Kind, Status
from services.sf_sync.results import SCHEMA as OUTCOME_SCHEMA
from services.sf_sync.verdict import Counts, TopCode, require_complete

TOP_CODES: Final = 5
SAMPLE_IDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Local copies of what one round left."""

    changes: Path
    invalid: Path
    outcomes: Sequence[Path]
    against: Against


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
    with open_duck(scratch) as duck:
        return duck.write(
            f"SELECT w.* FROM {parquet([wave])} w WHERE w.{KEY} IN "
            f"(SELECT {KEY} FROM {parquet(outcomes)} WHERE kind IN ({wanted})) ORDER BY w.{CUSTOMER}, w.{KEY}",
            target,
        )


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
    with open_duck(scratch) as duck:
        _views(duck, material)
        _log_view(duck, plan.mapping, run_id, week)
        diff.prepare_applied(duck, plan.mapping, material.against)
        accepted = f"SELECT {KEY}, salesforce_id FROM final WHERE status = {text(Status.ACCEPTED)}"
        applied = diff.applied_query(
            material.changes, accepted, plan.mapping, plan.fingerprint, run_id=run_id, rank=rank
        )
        duck.write(applied, snapshot)
        duck.write("FROM log ORDER BY external_id", changes_log)
        counts = _counts(duck, plan)
        (retried,) = duck.one("SELECT (SELECT count(*) FROM outcome) - (SELECT count(*) FROM final)")
        return Account(counts=counts, top=_top(duck), retried=retried)


def run_row(plan: Plan, result: Result, week: Week, *, run_id: str, round_number: int, warning: str | None) -> pa.Table:
    """The row of `sync_runs`."""
    row: dict[str, str | int | bool | date | None] = {
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


def _views(duck: Duck, material: Material) -> None:
    """`change`, `outcome`, and `final`: the last outcome of each key with the number of its sendings."""
    duck.rows(f"CREATE VIEW change AS FROM {parquet([material.changes])}")
    duck.rows(f"CREATE VIEW invalid AS FROM {parquet([material.invalid])}")
    if material.outcomes:
        duck.rows(f"CREATE VIEW outcome AS FROM {parquet(material.outcomes)}")
    else:
        listed = ", ".join(f"NULL::{_sql_type(column.type)} AS {name(column.name)}" for column in OUTCOME_SCHEMA)
        duck.rows(f"CREATE VIEW outcome AS SELECT {listed} WHERE false")
    (waves,) = duck.one("SELECT coalesce(max(wave), 0) FROM outcome")
    if waves == 0:
        duck.rows("CREATE VIEW final AS SELECT *, 1::BIGINT AS attempts FROM outcome")
        return
    # Few rows travel twice, so only those are ordered.
    duck.rows(
        f"CREATE TABLE again AS SELECT {KEY}, max(wave) AS last, count(*) AS times FROM outcome "
        f"WHERE {KEY} IN (SELECT {KEY} FROM outcome WHERE wave > 0) GROUP BY 1"
    )
    duck.rows(
        f"CREATE VIEW final AS SELECT o.*, coalesce(a.times, 1) AS attempts "
        f"FROM outcome o LEFT JOIN again a USING ({KEY}) WHERE a.last IS NULL OR o.wave = a.last"
    )


def _log_view(duck: Duck, mapping: ResolvedMapping, run_id: str, week: Week) -> None:
    members = ", ".join(f"{name(field)} := r.{name(field)}" for field in mapping.names)
    payload = f"CAST(to_json(struct_pack({members})) AS VARCHAR) AS payload"
    week_days = f"DATE {text(str(week.start))} AS week_start, DATE {text(str(week.end))} AS week_end"
    head = f"{text(run_id)} AS run_id, {week_days}, r.{KEY} AS external_id, r.{CUSTOMER} AS customer_id"
    columns = ", ".join(name(column.name) for column in CHANGES_SCHEMA)
    sent = (
        f"SELECT {head}, "
        f"CASE WHEN f.status = 'accepted' THEN if(f.created, 'create', 'update') ELSE r.{OPERATION} END AS operation, "
        f"f.status, f.code, f.kind, f.message, f.salesforce_id, f.job_id, f.attempts, {payload} "
        f"FROM change r JOIN final f USING ({KEY})"
    )
    refused = (
        f"SELECT {head}, NULL, 'invalid', r.{FAULT_CODE}, 'permanent', r.{FAULT_FIELD}, NULL, NULL, 0, {payload} "
        f"FROM invalid r"
    )
    duck.rows(f"CREATE VIEW log AS SELECT {columns} FROM ({sent} UNION ALL {refused})")


def _counts(duck: Duck, plan: Plan) -> Counts:
    by_status = {
        (status, created): rows
        for status, created, rows in duck.rows("SELECT status, created, count(*) FROM final GROUP BY ALL")
    }
    created, updated = by_status.pop(("accepted", True), 0), by_status.pop(("accepted", False), 0)
    counts = Counts(
        created=created,
        updated=updated,
        unchanged=plan.unchanged,
        failed=sum(by_status.values()),
        invalid=plan.invalid,
    )
    require_complete(counts, plan.rows)
    (strangers,) = duck.one(f"SELECT count(*) FROM final f ANTI JOIN change c USING ({KEY})")
    (doubled,) = duck.one(f"SELECT count(*) - count(DISTINCT {KEY}) FROM final")
    require_exact(strangers, doubled)
    return counts


def require_exact(strangers: int, doubled: int) -> None:
    """Raise OutcomesIncompleteError for outcomes of rows that were not sent, or two of one row."""
    if strangers or doubled:
        raise OutcomesIncompleteError(
            f"Salesforce reports {strangers} external ids that were not sent and {doubled} more than once."
        )


def _top(duck: Duck) -> list[TopCode]:
    found = duck.rows(
        f"SELECT coalesce(code, status), count(*), list(external_id ORDER BY external_id)[1:{SAMPLE_IDS}] FROM log "
        f"WHERE status <> 'accepted' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {TOP_CODES}"
    )
    return [TopCode(code, rows, [str(each) for each in sample]) for code, rows, sample in found]


def _sql_type(kind: pa.DataType) -> str:
    return {pa.string(): "VARCHAR", pa.bool_(): "BOOLEAN", pa.int64(): "BIGINT"}[kind]

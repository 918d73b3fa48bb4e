"""Which rows Salesforce has to hear of: canonical signals against the snapshot of what it accepted. SQL over files.

A row is sent if its key is not in the snapshot, if a compared field differs, or if what Salesforce holds is not known
(another mapping or org wrote it, or a sending of it was never accounted for). An absent value under the policy `keep`
differs from nothing, because sending it would change nothing.

Whatever is wide is joined and sorted a slice of customers at a time: the memory that DuckDB may have (`duck.py`) does
not hold a large week's rows, and its sort of wide rows fails rather than spill enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from services.sf_sync.canonical import CUSTOMER, FAULT_CODE, FAULT_FIELD, KEY, REPEATED_ID
from services.sf_sync.duck import Duck, name, parquet, text
from services.sf_sync.mapping import NullPolicy, ResolvedField, ResolvedMapping

OPERATION: Final = "_operation"
OLD_PREFIX: Final = "_old_"
SLICE_ROWS: Final = 20_000
_SAMPLES_A_SLICE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What a diff compares with."""

    snapshot: Sequence[Path]
    """Local copies of the week's snapshot files."""
    intents: Sequence[Path]
    """Local copies of its intent files, without the one of the round that asks: that was written before it sent."""
    fingerprint: str
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffCounts:
    """What a diff found. All but `absent` add up to the signals' rows."""

    rows: int
    creates: int
    updates: int
    invalid: int
    absent: int

    @property
    def changes(self) -> int:
        """Rows to send."""
        return self.creates + self.updates

    @property
    def unchanged(self) -> int:
        """Rows that Salesforce holds already."""
        return self.rows - self.changes - self.invalid


def prepare(duck: Duck, canonical: Path, mapping: ResolvedMapping, against: Against) -> None:
    """Make the views `canonical`, `invalid_rows`, `valid_rows` and `known_ids`."""
    duck.rows(f"CREATE VIEW canonical AS FROM {parquet([canonical])}")
    folded = name(KEY) if mapping.case_sensitive_id else f"lower({name(KEY)})"
    # By hashes first: eight bytes an id stay in memory where the ids of a large week would not.
    twice = f"SELECT hash({folded}) FROM canonical WHERE {KEY} IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
    duck.rows(
        f"CREATE TABLE repeated AS SELECT {folded} AS folded FROM canonical WHERE {KEY} IS NOT NULL "
        f"AND hash({folded}) IN ({twice}) GROUP BY 1 HAVING count(*) > 1"
    )
    is_repeated = f"{folded} IN (SELECT folded FROM repeated)"
    fields = ", ".join(name(field) for field in mapping.names)
    duck.rows(
        f"CREATE VIEW invalid_rows AS SELECT {KEY}, {CUSTOMER}, "
        f"coalesce({FAULT_CODE}, {text(REPEATED_ID)}) AS {FAULT_CODE}, "
        f"coalesce({FAULT_FIELD}, {text(mapping.external_id)}) AS {FAULT_FIELD}, {fields} "
        f"FROM canonical WHERE {FAULT_CODE} IS NOT NULL OR {is_repeated}"
    )
    duck.rows(
        f"CREATE VIEW valid_rows AS SELECT {KEY}, {CUSTOMER}, {fields} FROM canonical "
        f"WHERE {FAULT_CODE} IS NULL AND NOT ({is_repeated})"
    )
    known = f"SELECT DISTINCT hash(external_id) AS id FROM {parquet(against.snapshot)}"
    duck.rows(f"CREATE VIEW known_ids AS {known if against.snapshot else 'SELECT 0::UBIGINT AS id LIMIT 0'}")


def write_changes(
    duck: Duck, mapping: ResolvedMapping, against: Against, target: Path, *, with_old: bool = False
) -> None:
    """Write the rows to send, sorted so that those of one customer travel together and do not lock each other out.

    With `with_old` each field has what Salesforce holds beside it (`_old_…`). Needs `prepare`.
    """
    names = [KEY, CUSTOMER, OPERATION, *mapping.names, *(OLD_PREFIX + field for field in mapping.names if with_old)]
    schema = pa.schema([(column, pa.string()) for column in names])
    listed = ", ".join(name(column) for column in names)
    bounds = _bounds(duck)
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for low, high in zip([None, *bounds], [*bounds, None], strict=True):
            conditions = [f"{_PLACE} >= {text(low)}"] if low is not None else []
            conditions += [f"{_PLACE} < {text(high)}"] if high is not None else []
            duck.rows(
                f"CREATE OR REPLACE TEMP TABLE slice AS FROM valid_rows WHERE {' AND '.join(conditions) or 'true'}"
            )
            _accepted_view(duck, mapping, against, within=f"SELECT {KEY} FROM slice")
            changed = _changed(mapping, full=against.full)
            for batch in duck.batches(f"SELECT {listed} FROM ({changed}) ORDER BY {CUSTOMER}, {KEY}"):
                writer.write_batch(batch)


_PLACE: Final = f"coalesce({CUSTOMER}, {KEY})"
"""What slices are cut by."""


def _bounds(duck: Duck) -> list[str]:
    """Where slices begin, but for the first; as even as a sample tells."""
    (rows,) = duck.one("SELECT count(*) FROM valid_rows")
    slices = -(-rows // SLICE_ROWS)
    if slices < 2:
        return []
    sample = f"SELECT {_PLACE} AS place FROM valid_rows USING SAMPLE reservoir({slices * _SAMPLES_A_SLICE:d} ROWS)"
    places = [place for (place,) in duck.rows(f"SELECT place FROM ({sample}) ORDER BY place")]
    return sorted(set(places[_SAMPLES_A_SLICE::_SAMPLES_A_SLICE]))


def count(duck: Duck, changed: str) -> DiffCounts:
    """Count what `prepare` found; `changed` is a table function of the rows that `write_changes` wrote."""
    (rows,) = duck.one("SELECT count(*) FROM canonical")
    (invalid,) = duck.one("SELECT count(*) FROM invalid_rows")
    by_operation = dict(duck.rows(f"SELECT {OPERATION}, count(*) FROM {changed} GROUP BY 1"))
    present = f"SELECT hash({KEY}) AS id FROM canonical WHERE {KEY} IS NOT NULL"
    (absent,) = duck.one(f"SELECT count(*) FROM known_ids ANTI JOIN ({present}) USING (id)")
    return DiffCounts(
        rows=rows,
        creates=by_operation.get("create", 0),
        updates=by_operation.get("update", 0),
        invalid=invalid,
        absent=absent,
    )


def sample_query(changed: str, mapping: ResolvedMapping, operation: str, limit: int) -> str:
    """A few of the rows that `write_changes` wrote, each field beside what Salesforce holds (`_old_…`)."""
    pairs = ", ".join(f"{name(field)}, {name(OLD_PREFIX + field)}" for field in mapping.names)
    return (
        f"SELECT {KEY}, {pairs} FROM {changed} WHERE {OPERATION} = {text(operation)} "
        f"ORDER BY {CUSTOMER}, {KEY} LIMIT {limit:d}"
    )


def prepare_applied(duck: Duck, mapping: ResolvedMapping, against: Against) -> None:
    """Make the view that `applied_query` needs; `change` must be there."""
    _accepted_view(duck, mapping, against, within=f"SELECT {KEY} FROM change")


def applied_query(mapping: ResolvedMapping, fingerprint: str, *, run_id: str, rank: str) -> str:
    """The snapshot rows that follow from accepted changes, in the layout of `libs.common.synclog`.

    Reads `change` (canonical rows that were sent) and `final` (their outcomes). A kept field that was not sent keeps
    the value that it was known to have. Needs `prepare_applied`.
    """
    fields = ", ".join(
        f"coalesce(c.{name(f.field)}, a.{name(f.field)}) AS {name(f.field)}"
        if f.on_null is NullPolicy.KEEP
        else f"c.{name(f.field)}"
        for f in mapping.fields
    )
    return (
        f"SELECT c.{KEY} AS external_id, c.{CUSTOMER} AS customer_id, o.salesforce_id, {text(run_id)} AS run_id, "
        f"{text(rank)} AS rank, {text(fingerprint)} AS mapping, {fields} "
        f"FROM change c JOIN final o ON o.{KEY} = c.{KEY} AND o.status = 'accepted' "
        f"LEFT JOIN accepted a ON a.external_id = c.{KEY} AND NOT a.in_doubt ORDER BY c.{CUSTOMER}, c.{KEY}"
    )


def _accepted_view(duck: Duck, mapping: ResolvedMapping, against: Against, *, within: str) -> None:
    """`accepted`: of every key in `within` the newest snapshot row, `in_doubt` where that tells nothing."""
    own = against.snapshot
    if not own:
        columns = [*("external_id", "customer_id", "rank", "mapping"), *mapping.names]
        listed = ", ".join(f"NULL::VARCHAR AS {name(column)}" for column in columns)
        duck.rows(f"CREATE OR REPLACE TEMP VIEW accepted AS SELECT {listed}, false AS in_doubt WHERE false")
        return
    files = parquet(own, by_name=True)
    known = {column for (column, *_) in duck.rows(f"DESCRIBE FROM {files}")}
    missing = "".join(f", NULL::VARCHAR AS {name(field)}" for field in mapping.names if field not in known)
    # Of a single file the window would sort for nothing.
    newest = "" if len(own) == 1 else "QUALIFY row_number() OVER (PARTITION BY external_id ORDER BY rank DESC) = 1"
    rows = f"SELECT *{missing} FROM {files} WHERE external_id IN ({within}) {newest}"
    in_doubt, join = f"n.mapping <> {text(against.fingerprint)}", ""
    if against.intents:
        in_doubt += " OR coalesce(i.rank > n.rank, false)"
        join = (
            f"LEFT JOIN (SELECT external_id, max(rank) AS rank FROM {parquet(against.intents)} "
            f"WHERE external_id IN ({within}) GROUP BY external_id) i ON i.external_id = n.external_id"
        )
    duck.rows(f"CREATE OR REPLACE TEMP VIEW accepted AS SELECT n.*, {in_doubt} AS in_doubt FROM ({rows}) n {join}")


def _changed(mapping: ResolvedMapping, *, full: bool) -> str:
    fields = ", ".join(f"v.{name(f)}, a.{name(f)} AS {name(OLD_PREFIX + f)}" for f in mapping.names)
    differs = " OR ".join(_differs(field) for field in mapping.fields if field.compare) or "false"
    wanted = "true" if full else f"a.external_id IS NULL OR a.in_doubt OR {differs}"
    return (
        f"SELECT v.{KEY}, v.{CUSTOMER}, if(a.external_id IS NULL, 'create', 'update') AS {OPERATION}, {fields} "
        f"FROM slice v LEFT JOIN accepted a ON a.external_id = v.{KEY} WHERE {wanted}"
    )


def _differs(field: ResolvedField) -> str:
    new, old = f"v.{name(field.field)}", f"a.{name(field.field)}"
    if field.on_null is NullPolicy.KEEP:
        return f"({new} IS NOT NULL AND {new} IS DISTINCT FROM {old})"
    return f"{new} IS DISTINCT FROM {old}"


def intent_query(changes: Path, rank: str) -> str:
    """The keys that are about to be sent."""
    return f"SELECT {KEY} AS external_id, {CUSTOMER} AS customer_id, {text(rank)} AS rank FROM {parquet([changes])}"

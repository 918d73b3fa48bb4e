"""What is found to be sent, against a snapshot, a slice of customers at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.synclog import snapshot_schema
from services.sf_sync import diff
from services.sf_sync.canonical import CUSTOMER, KEY, canonical_schema
from services.sf_sync.diff import Against, DiffCounts
from services.sf_sync.duck import open_duck, parquet
from services.sf_sync.mapping import Format, NullPolicy, ResolvedField, ResolvedMapping

MAPPING = ResolvedMapping(
    object="Metric__c",
    external_id="Id__c",
    fields=(
        ResolvedField(field="Id__c", column="id", format=Format.TEXT, on_null=NullPolicy.KEEP, compare=True),
        ResolvedField(field="Keep__c", column="keep", format=Format.TEXT, on_null=NullPolicy.KEEP, compare=True),
        ResolvedField(field="Clear__c", column="clear", format=Format.TEXT, on_null=NullPolicy.CLEAR, compare=True),
    ),
)
NOBODY = Against(snapshot=[], intents=[], fingerprint="f")


class Comparison:
    """Rows against snapshots, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def snapshot(self, rank: str, *rows: tuple[str, str | None, str | None], mapping: str = "f") -> Path:
        schema = snapshot_schema(MAPPING.names)
        own = {"salesforce_id": "a", "run_id": "r", "rank": rank, "mapping": mapping}
        listed: list[dict[str, str | None]] = [
            {"external_id": key, "customer_id": key, "Id__c": key, "Keep__c": keep, "Clear__c": clear, **own}
            for key, keep, clear in rows
        ]
        path = self.folder / f"{rank}.parquet"
        pq.write_table(pa.Table.from_pylist(listed, schema=schema), path)
        return path

    def find(
        self, against: Against, *rows: tuple[str | None, str | None, str | None]
    ) -> tuple[list[dict[str, Any]], DiffCounts]:
        """The changes in order, and the counts."""
        canonical, changes = self.folder / "canonical.parquet", self.folder / "changes.parquet"
        listed = [
            {KEY: key, CUSTOMER: key, "Id__c": key, "Keep__c": keep, "Clear__c": clear} for key, keep, clear in rows
        ]
        pq.write_table(pa.Table.from_pylist(listed, schema=canonical_schema(MAPPING)), canonical)
        with open_duck(self.folder) as duck:
            diff.prepare(duck, canonical, MAPPING, against)
            diff.write_changes(duck, MAPPING, against, changes)
            counts = diff.count(duck, parquet([changes]))
        return pq.read_table(changes).to_pylist(), counts


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    return Comparison(tmp_path)


def against(*snapshot: Path, full: bool = False) -> Against:
    return Against(snapshot=list(snapshot), intents=[], fingerprint="f", full=full)


def test_many_slices_hold_every_row_once_and_in_the_order_of_the_customers(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diff, "SLICE_ROWS", 10)
    keys = [f"k{number * 7919 % 1000:04d}" for number in range(1000)]
    held = comparison.snapshot("1", *((key, "v", None) for key in keys[:500]))
    changes, counts = comparison.find(against(held), *((key, "w", None) for key in keys))
    assert [row[KEY] for row in changes] == sorted(keys)
    assert counts == DiffCounts(rows=1000, creates=500, updates=500, invalid=0, absent=0)


def test_an_absent_value_is_a_change_only_where_it_clears(comparison: Comparison) -> None:
    held = comparison.snapshot("1", ("a", "v", None), ("b", "v", "v"))
    changes, counts = comparison.find(against(held), ("a", None, None), ("b", "v", None))
    assert [row[KEY] for row in changes] == ["b"]
    assert counts.unchanged == 1


def test_of_several_snapshots_the_newest_word_on_a_row_counts(comparison: Comparison) -> None:
    files = [comparison.snapshot("1", ("a", "old", None)), comparison.snapshot("2", ("a", "new", None))]
    assert comparison.find(against(*files), ("a", "new", None))[1].changes == 0
    assert comparison.find(against(*files), ("a", "old", None))[1].updates == 1


def test_what_another_mapping_or_org_wrote_is_sent_again(comparison: Comparison) -> None:
    held = comparison.snapshot("1", ("a", "v", None), mapping="another")
    assert comparison.find(against(held), ("a", "v", None))[1].updates == 1


def test_a_full_sync_sends_rows_that_are_held_already(comparison: Comparison) -> None:
    held = comparison.snapshot("1", ("a", "v", None))
    assert comparison.find(against(held, full=True), ("a", "v", None))[1].updates == 1


def test_ids_that_differ_in_case_alone_are_one_id_and_none_of_them_is_sent(comparison: Comparison) -> None:
    changes, counts = comparison.find(NOBODY, ("a", "v", None), ("A", "v", None), ("b", "v", None))
    assert [row[KEY] for row in changes] == ["b"]
    assert (counts.invalid, counts.creates) == (2, 1)


def test_rows_that_the_signals_no_longer_have_are_counted(comparison: Comparison) -> None:
    held = comparison.snapshot("1", ("a", "v", None), ("gone", "v", None))
    assert comparison.find(against(held), ("a", "v", None))[1].absent == 1

"""Merging local files: order, bytes, memory layout, and what a file says of itself."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.events.schema import EVENT_SCHEMA, REJECT_SCHEMA
from services.loader import merge
from services.loader.merge import merge_events, merge_rejects, read_facts

START = datetime(2019, 9, 30, tzinfo=UTC)


def event(user: str, minute: int, *, brand: str | None = None, price: str = "1.0000") -> dict[str, Any]:
    return {
        "event_time": START + timedelta(minutes=minute),
        "event_type": "view",
        "brand": brand,
        "price": Decimal(price),
        "user_id": user,
        "batch_week_start": date(2019, 9, 30),
        "batch_week_end": date(2019, 10, 6),
        "ingested_at": START,
    }


def written(path: Path, rows: list[dict[str, Any]], schema: Any = EVENT_SCHEMA) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def test_events_of_all_sources_are_sorted_and_equal_keys_keep_their_order(tmp_path: Path) -> None:
    one = written(tmp_path / "1", [event("b", 1, brand="first"), event("a", 2), event("b", 1, brand="second")])
    two = written(tmp_path / "2", [event("b", 1, brand="third"), event("a", 1), event("c", 0)])
    merge_events([one, two], tmp_path / "merged")
    rows = pq.read_table(tmp_path / "merged").to_pylist()
    assert [(row["user_id"], (row["event_time"] - START).seconds // 60, row["brand"]) for row in rows] == [
        ("a", 1, None),
        ("a", 2, None),
        ("b", 1, "first"),
        ("b", 1, "second"),
        ("b", 1, "third"),
        ("c", 0, None),
    ]


def test_users_sort_as_text(tmp_path: Path) -> None:
    source = written(tmp_path / "1", [event("10", 0), event("9", 0), event("é", 0), event("Z", 0)])
    merge_events([source], tmp_path / "merged")
    assert pq.read_table(tmp_path / "merged")["user_id"].to_pylist() == ["10", "9", "Z", "é"]


def test_merging_again_gives_the_same_bytes_and_every_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "ROW_GROUP_EVENTS", 2)
    rows = [event(str(n), n, brand="x" * (n % 2) or None, price=f"{n}.0001") for n in range(9)]
    source = written(tmp_path / "1", rows)
    merge_events([source], tmp_path / "a")
    merge_events([source], tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = pq.read_table(tmp_path / "a")
    assert found.schema.equals(EVENT_SCHEMA)
    assert found.equals(pa.Table.from_pylist(rows, schema=EVENT_SCHEMA))
    metadata = pq.ParquetFile(tmp_path / "a").metadata
    assert metadata.num_row_groups == 5
    assert metadata.row_group(0).column(7).compression == "ZSTD"


def test_a_query_for_one_user_finds_its_row_groups_by_their_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "ROW_GROUP_EVENTS", 8)
    users = [f"{number * 7 % 32:02}" for number in range(32)]
    sources = [
        written(tmp_path / "1", [event(user, 1) for user in users]),
        written(tmp_path / "2", [event(user, 2) for user in reversed(users)]),
    ]
    merge_events(sources, tmp_path / "merged")
    metadata = pq.ParquetFile(tmp_path / "merged").metadata
    of_users = [metadata.row_group(group).column(7).statistics for group in range(metadata.num_row_groups)]
    assert len(of_users) == 8
    for user in users:
        assert sum(found.min <= user <= found.max for found in of_users) == 1


def test_every_column_of_a_row_group_has_statistics(tmp_path: Path) -> None:
    merge_events([written(tmp_path / "1", [event("a", 1, brand="x")])], tmp_path / "merged")
    group = pq.ParquetFile(tmp_path / "merged").metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    assert [column.path_in_schema for column in columns] == EVENT_SCHEMA.names
    assert all(column.is_stats_set for column in columns)


def test_facts_are_read_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "ROW_GROUP_EVENTS", 1)
    source = written(tmp_path / "1", [event("a", 5), event("b", 1), event("c", 9)])
    merge_events([source], tmp_path / "merged")
    rows, first, last = read_facts(tmp_path / "merged")
    assert (rows, first, last) == (3, START + timedelta(minutes=1), START + timedelta(minutes=9))
    assert first is not None
    assert first.utcoffset() == timedelta(0)


def test_no_sources_give_a_file_with_columns_and_without_rows(tmp_path: Path) -> None:
    merge_events([], tmp_path / "merged")
    assert pq.read_schema(tmp_path / "merged").equals(EVENT_SCHEMA)
    assert read_facts(tmp_path / "merged") == (0, None, None)


def test_rejects_are_joined_in_the_order_of_the_sources(tmp_path: Path) -> None:
    def reject(page: int, position: int) -> dict[str, Any]:
        return {"page": page, "position": position, "reject_code": "bad_time", "message": "…", "raw": "{}"}

    one = written(tmp_path / "1", [reject(1, 0), reject(1, 7)], REJECT_SCHEMA)
    two = written(tmp_path / "2", [reject(2, 3)], REJECT_SCHEMA)
    merge_rejects([one, two], tmp_path / "merged")
    rows = pq.read_table(tmp_path / "merged")
    assert rows.schema.equals(REJECT_SCHEMA)
    assert [(row["page"], row["position"]) for row in rows.to_pylist()] == [(1, 0), (1, 7), (2, 3)]
    assert read_facts(tmp_path / "merged") == (3, None, None)


def test_a_file_that_is_no_part_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(b"nonsense")
    with pytest.raises(pa.ArrowInvalid):
        merge_events([tmp_path / "1"], tmp_path / "merged")

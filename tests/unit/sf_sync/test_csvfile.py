"""The CSV that a Bulk job uploads."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from services.sf_sync.csvfile import write_parts
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
HEADER = b'"Id__c","Keep__c","Clear__c"\r\n'


def batch(*rows: tuple[str, str | None, str | None]) -> pa.RecordBatch:
    columns = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=list(MAPPING.names))


def test_every_cell_is_quoted_lines_end_in_crlf_and_an_absent_value_keeps_or_clears(tmp_path: Path) -> None:
    rows = batch(("ü", None, None), ("b", 'say "no"\n', "x,y"))
    (part,) = write_parts([rows], MAPPING, tmp_path, max_rows=10)
    expected = HEADER + '"ü","","#N/A"\r\n"b","say ""no""\n","x,y"\r\n'.encode()
    assert part.path.read_bytes() == expected
    assert (part.rows, part.size_bytes) == (2, len(expected))


@pytest.mark.parametrize(
    ("limits", "sizes"), [({"max_rows": 2}, [2, 2, 1]), ({"max_rows": 9, "max_bytes": 72}, [3, 2])]
)
def test_files_are_cut_at_whichever_limit_comes_first(tmp_path: Path, limits: dict[str, int], sizes: list[int]) -> None:
    rows = [(f"k{number}", "v", "w") for number in range(5)]  # 14 bytes a line behind a header of 30
    parts = list(write_parts([batch(*rows[:3]), batch(*rows[3:])], MAPPING, tmp_path, **limits))
    assert [part.rows for part in parts] == sizes
    written = b"".join(part.path.read_bytes().removeprefix(HEADER) for part in parts)
    assert written == b"".join(f'"{key}","v","w"\r\n'.encode() for key, _, _ in rows)

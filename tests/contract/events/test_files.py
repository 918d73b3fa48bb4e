"""Columns and manifests that other releases, and other people's queries, rely on."""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from libs.common.events.schema import EVENT_SCHEMA, RAW_SCHEMA, REJECT_SCHEMA
from libs.common.manifest import LoadManifest, ManifestError, StagedFile, decode_manifest, encode_manifest

EXAMPLES = Path(__file__).parent / "examples"

MANIFEST = LoadManifest(
    run_id="run-1",
    pipeline_name="ecommerce_customer_weekly",
    week_start=date(2019, 9, 30),
    week_end=date(2019, 10, 6),
    parts_total=3,
    rows_valid=2,
    rows_rejected=1,
    reject_counts={"bad_price": 1},
    unknown_fields={"utm_source": {"null": 1, "string": 2}},
    events=(
        StagedFile(
            path="runs/run-1/staging/events/part-00000.parquet",
            sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            size_bytes=1234,
            rows=2,
            min_event_time=datetime(2019, 9, 30, tzinfo=UTC),
            max_event_time=datetime(2019, 10, 6, 23, 59, 59, 999999, tzinfo=UTC),
        ),
    ),
    rejects=(
        StagedFile(path="runs/run-1/staging/rejects/part-00000.parquet", sha256="00" * 32, size_bytes=99, rows=1),
    ),
)


def test_an_event_has_the_contracts_columns_in_its_order() -> None:
    assert [(field.name, str(field.type)) for field in EVENT_SCHEMA] == [
        ("event_time", "timestamp[us, tz=UTC]"),
        ("event_type", "string"),
        ("product_id", "string"),
        ("category_id", "string"),
        ("category_code", "string"),
        ("brand", "string"),
        ("price", "decimal128(18, 4)"),
        ("user_id", "string"),
        ("user_session", "string"),
        ("batch_week_start", "date32[day]"),
        ("batch_week_end", "date32[day]"),
        ("ingested_at", "timestamp[us, tz=UTC]"),
    ]


def test_a_reject_says_what_where_and_why() -> None:
    assert REJECT_SCHEMA.names == ["page", "position", "reject_code", "field", "message", "raw"]
    assert RAW_SCHEMA.field("body").type == pa.binary()


def test_the_manifest_of_the_first_version_is_read_for_ever() -> None:
    assert decode_manifest((EXAMPLES / "load-manifest.v1.json").read_bytes()) == MANIFEST
    assert MANIFEST.week.days == 7


def test_a_manifest_is_written_the_same_for_the_same_content() -> None:
    assert encode_manifest(MANIFEST) == (EXAMPLES / "load-manifest.v1.json").read_bytes()


@pytest.mark.parametrize("data", [b"", b"{}", b'{"type":"load-manifest.v2"}', b"\xff", b'{"type":"load-manifest.v1"}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        decode_manifest(data)


def test_fields_that_a_later_release_adds_are_ignored() -> None:
    data = encode_manifest(MANIFEST).replace(b'"run_id"', b'"added_later": 1,\n  "run_id"', 1)
    assert decode_manifest(data) == MANIFEST

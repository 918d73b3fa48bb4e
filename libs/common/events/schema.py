"""Columns and writer options of the Parquet files that travel from the extractor to the gate.

Column order is part of the contract. The same rows written twice give the same bytes: the options are fixed, and
nothing of the moment (clock, process, random order) goes into a file.
"""

from typing import Any, Final

import pyarrow as pa

TIME: Final = pa.timestamp("us", tz="UTC")

PRICE_PRECISION: Final = 18
PRICE_SCALE: Final = 4
PRICE: Final = pa.decimal128(PRICE_PRECISION, PRICE_SCALE)

EVENT_SCHEMA: Final = pa.schema(
    [
        pa.field("event_time", TIME, nullable=False),
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("product_id", pa.string()),
        pa.field("category_id", pa.string()),
        pa.field("category_code", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("price", PRICE),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("user_session", pa.string()),
        pa.field("batch_week_start", pa.date32(), nullable=False),
        pa.field("batch_week_end", pa.date32(), nullable=False),
        pa.field("ingested_at", TIME, nullable=False),
    ]
)
"""A valid event. `ingested_at` is when the run was requested, so that repeating a step repeats its bytes."""

ENCODED_EVENT_SCHEMA: Final = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), field.type)) if pa.types.is_string(field.type) else field
        for field in EVENT_SCHEMA
    ]
)
"""A valid event in memory: texts as dictionaries, because most come often. A file that is written so holds the same."""

ENCODED_EVENT_COLUMNS: Final = [field.name for field in ENCODED_EVENT_SCHEMA if pa.types.is_dictionary(field.type)]

REJECT_SCHEMA: Final = pa.schema(
    [
        pa.field("page", pa.int64(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("reject_code", pa.string(), nullable=False),
        pa.field("field", pa.string()),
        pa.field("message", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
    ]
)
"""A refused record: the page as the extractor numbered it, the record's place in that page's list counted from 0, and
`raw`, its JSON text exactly as it came. `field` is null where the record as a whole is at fault, `position` is -1 and
`raw` the page's whole body where the page as a whole is."""

RAW_SCHEMA: Final = pa.schema(
    [
        pa.field("page", pa.int64(), nullable=False),
        pa.field("fetched_at", TIME, nullable=False),
        pa.field("body", pa.binary(), nullable=False),
    ]
)
"""A page of the API: its number in the order of the pagination, when it came, and its body byte for byte."""

WRITER_OPTIONS: Final[dict[str, Any]] = {
    "version": "2.6",
    "compression": "zstd",
    "compression_level": 1,  # level 3 costs a third more time for a twentieth less space
    "write_statistics": True,
    "store_schema": False,  # events are written from dictionaries, which are nobody else's concern
}
"""Arguments of `pyarrow.parquet.ParquetWriter` and `write_table` for every file that readers see."""

EVENT_WRITER_OPTIONS: Final[dict[str, Any]] = {
    **WRITER_OPTIONS,
    # Times are nearly all different; sessions take less space compressed than in a dictionary.
    "use_dictionary": [name for name in EVENT_SCHEMA.names if name not in ("event_time", "user_session")],
    "write_batch_size": 16 * 1024,  # statistics are kept batch by batch: a sixth of the time of writing less
}
"""The same for curated events."""

PART_WRITER_OPTIONS: Final[dict[str, Any]] = {
    "version": "2.6",
    "compression": "lz4",
    "write_statistics": False,
    "store_schema": False,
    "use_dictionary": [name for name in EVENT_SCHEMA.names if name not in ("event_time", "price")],
    "dictionary_pagesize_limit": 16 * 1024 * 1024,  # of a whole part: beyond it all texts are written out
}
"""For files that are private to a run and read once, from end to end: half the time of the others to write and read."""

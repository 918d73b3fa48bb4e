"""Signals in the one form that is compared, kept and sent: every mapped field as text. Pure, a batch at a time.

Text is trimmed, blank is null, control characters that no CSV reader expects are dropped. Numbers are written exactly,
dates as YYYY-MM-DD, datetimes as UTC with milliseconds and Z, because that is what Salesforce keeps of them.
"""

from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from services.sf_sync.mapping import CUSTOMER_COLUMN, Format, ResolvedField, ResolvedMapping

KEY: Final = "_key"
"""The external id; like all of our own columns it begins with '_', which no Salesforce field does."""
CUSTOMER: Final = "_customer"
FAULT_CODE: Final = "_fault_code"
FAULT_FIELD: Final = "_fault_field"

CLEAR_CELL: Final = "#N/A"
"""Salesforce's word for null in a Bulk 2.0 CSV; so as a text it cannot be sent."""

BLANK_ID: Final = "blank_external_id"
REPEATED_ID: Final = "repeated_external_id"
TOO_LONG: Final = "too_long"
NOT_FINITE: Final = "not_finite"
TOO_LARGE: Final = "number_too_large"
RESERVED_TEXT: Final = "reserved_text"

_CONTROL: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"


def canonical_schema(mapping: ResolvedMapping) -> pa.Schema:
    """Columns of `canonical_batch`: key, customer, fault code and field, then the mapped fields; all strings."""
    names = (KEY, CUSTOMER, FAULT_CODE, FAULT_FIELD, *mapping.names)
    return pa.schema([(name, pa.string()) for name in names])


def canonical_batch(batch: pa.RecordBatch, mapping: ResolvedMapping) -> pa.RecordBatch:
    """The batch in canonical form, row for row.

    A row that must not be sent keeps its place and says why in `_fault_code`/`_fault_field` (the first fault in field
    order). Repeated external ids are not seen here, because they may lie in different batches.
    """
    texts = {field.field: to_text(batch.column(field.column), field.format) for field in mapping.fields}
    code = pa.nulls(batch.num_rows, pa.string())
    place = pa.nulls(batch.num_rows, pa.string())
    for field in mapping.fields:
        for fault, mask in _faults(field, batch.column(field.column), texts[field.field], mapping.external_id):
            fresh = pc.and_(pc.is_null(code), mask)
            code = pc.if_else(fresh, fault, code)
            place = pc.if_else(fresh, field.field, place)
    has_customer = CUSTOMER_COLUMN in batch.schema.names
    customer = to_text(batch.column(CUSTOMER_COLUMN), Format.TEXT) if has_customer else pa.nulls(len(code), pa.string())
    columns = [texts[mapping.external_id], customer, code, place, *texts.values()]
    return pa.RecordBatch.from_arrays(columns, schema=canonical_schema(mapping))


def to_text(column: pa.Array, form: Format) -> pa.Array:
    """The column as strings of that format; null stays null."""
    return _WRITERS[form](column)


def _text(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        return _datetime(column)
    cleaned = pc.replace_substring_regex(column.cast(pa.string()), pattern=_CONTROL, replacement="")
    trimmed = pc.utf8_trim_whitespace(cleaned)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _number(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def _date(column: pa.Array) -> pa.Array:
    return column.cast(pa.date32(), safe=False).cast(pa.string())


def _datetime(column: pa.Array) -> pa.Array:
    utc = column.cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.timestamp("ms"))
    return pc.strftime(utc, format="%Y-%m-%dT%H:%M:%SZ")  # %S of milliseconds has three decimals


_WRITERS: Final[dict[Format, Callable[[pa.Array], pa.Array]]] = {
    Format.TEXT: _text,
    Format.NUMBER: _number,
    Format.DATE: _date,
    Format.DATETIME: _datetime,
    Format.BOOLEAN: _number,
}


def _faults(field: ResolvedField, raw: pa.Array, text: pa.Array, external_id: str) -> list[tuple[str, pa.Array]]:
    found: list[tuple[str, pa.Array]] = []
    if field.field == external_id:
        found.append((BLANK_ID, pc.is_null(text)))
    if field.format is Format.TEXT:
        found.append((RESERVED_TEXT, _true(pc.equal(text, CLEAR_CELL))))
        if field.max_chars is not None:
            found.append((TOO_LONG, _true(pc.greater(pc.utf8_length(text), field.max_chars))))
    if pa.types.is_floating(raw.type):
        found.append((NOT_FINITE, _true(pc.invert(pc.is_finite(raw)))))
        if field.format is Format.NUMBER and field.max_integer_digits is not None:
            found.append((TOO_LARGE, _true(pc.greater_equal(pc.abs(raw), 10.0**field.max_integer_digits))))
    elif field.format is Format.NUMBER and field.max_integer_digits is not None:
        whole = pc.replace_substring_regex(text, pattern=r"^-|\..*$", replacement="")
        found.append((TOO_LARGE, _true(pc.greater(pc.utf8_length(whole), max(1, field.max_integer_digits)))))
    return found


def _true(mask: pa.Array) -> pa.Array:
    return pc.fill_null(mask, False)

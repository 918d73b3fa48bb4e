"""The contract of a record, judged for many records at once, column by column. Pure.

A column's rule answers with the normalised values and notes the rows on which it is not sure. Those are `doubtful`, and
`record.judge` decides on them; so what is fast here need not be complete, only never wrong. Most texts of a column come
often (times too: a shop has many events a second), so a rule that costs something is applied to each distinct one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from libs.common.events.schema import EVENT_SCHEMA, PRICE, TIME
from services.validator.record import COLUMNS, REQUIRED
from services.validator.times import is_day, suffix_us

Doubts = set[int]
"""Rows that somebody else has to judge; what stands in their columns does not matter."""

RECORD_SCHEMA: Final = pa.schema([EVENT_SCHEMA.field(name) for name in COLUMNS])
"""The part of an event that comes from its record."""

_RARE: Final = 64
"""Of integers and texts in one column those are judged singly that the others outnumber so many times."""
# Typed scalars, because Arrow looks for pandas whenever it has to infer a type.
_BLANK: Final = pa.scalar("", pa.string())
_NO_TEXT: Final = pa.scalar(None, pa.string())
_NO_BYTES: Final = pa.scalar(None, pa.binary())
_FALSE: Final = pa.scalar(False, pa.bool_())
_US: Final = pa.timestamp("us")
# 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z: what Python, SQL Server and DuckDB agree upon.
_FIRST_US: Final = pa.scalar(-62_135_596_800_000_000, pa.int64())
_LAST_US: Final = pa.scalar(253_402_300_799_999_999, pa.int64())
_NO_INSTANT: Final = pa.scalar(None, pa.int64())
_DAY_CHARS: Final = len("2019-10-01")
_BODY_CHARS: Final = len("2019-10-01 00:00:00")  # as many bytes, in every text that _BODY lets through
_NO_END: Final = 2**31 - 1  # spelt out, because Arrow 26 fails without one where a text is shorter than the start
_BODY: Final = r"^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d$"
_PLAIN_PRICE: Final = r"^\d{1,14}(?:\.\d{1,4}0{0,12})?$"


def judge_columns(records: Sequence[Any]) -> tuple[Any, list[int]]:
    """Judge objects that carry the contract's fields as attributes (None where absent).

    A float literal arrives as text in `price` and as anything but int, str and None elsewhere. Returns a table of
    RECORD_SCHEMA with one row per record, and the rows that are not to be trusted, ascending.
    """
    columns = []
    doubtful: Doubts = set()
    given = _transposed(records)
    for name in COLUMNS:
        values = _RULES[name](given.pop(name), doubtful)
        if name in REQUIRED and values.null_count:
            _doubt(values.is_null(), doubtful)
        columns.append(values)
    return pa.Table.from_arrays(columns, schema=RECORD_SCHEMA), sorted(doubtful)


def _transposed(records: Sequence[Any]) -> dict[str, list[Any]]:
    # Spelt out, because the interpreter then reads the attributes in two thirds of the time of an attrgetter.
    return {
        "event_time": [record.event_time for record in records],
        "event_type": [record.event_type for record in records],
        "product_id": [record.product_id for record in records],
        "category_id": [record.category_id for record in records],
        "category_code": [record.category_code for record in records],
        "brand": [record.brand for record in records],
        "price": [record.price for record in records],
        "user_id": [record.user_id for record in records],
        "user_session": [record.user_session for record in records],
    }


def _doubt(where: Any, doubtful: Doubts) -> None:
    doubtful.update(pc.indices_nonzero(where).to_pylist())


def _text(values: list[Any], doubtful: Doubts) -> Any:
    try:
        return _stripped(pa.array(values, pa.string()))
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        _keep_only({str}, values, doubtful)
        return _stripped(pa.array(values, pa.string()))


def _keep_only(kept: set[type], values: list[Any], doubtful: Doubts) -> None:
    """Put None for every value that is not exactly of a type that is kept."""
    allowed = frozenset({*kept, type(None)})
    odd = [row for row, kind in enumerate(map(type, values)) if kind not in allowed]
    for row in odd:
        values[row] = None
    doubtful.update(odd)


def _integers_or_texts(values: list[Any], doubtful: Doubts) -> set[type]:
    """Reduce a column to the integers, the texts, or, where neither is rare, both; return which."""
    counts = Counter(map(type, values))
    present = counts.keys() - {type(None)}
    if present <= {int} or present <= {str}:
        return present
    most = max(counts[int], counts[str])
    kept: set[type] = {kind for kind in (int, str) if counts[kind] * _RARE > most}
    _keep_only(kept, values, doubtful)
    return kept


def _stripped(array: Any) -> Any:
    # Arrow strips the same characters as str.strip; a test compares them all.
    trimmed = pc.utf8_trim_whitespace(array)
    blank = pc.equal(trimmed, _BLANK)
    return pc.if_else(blank, _NO_TEXT, trimmed) if pc.any(blank).as_py() else trimmed


def _identifier(values: list[Any], doubtful: Doubts) -> Any:
    kinds = _integers_or_texts(values, doubtful)
    if kinds == {int}:
        return _integers(values)
    return _stripped(_texts(values) if int in kinds else pa.array(values, pa.string()))


def _integers(values: list[Any]) -> Any:
    try:
        return pa.array(values, pa.int64()).cast(pa.string())
    except OverflowError:
        return _texts(values)


def _texts(values: list[Any]) -> Any:
    return pa.array([str(value) if type(value) is int else value for value in values], pa.string())


def _event_type(values: list[Any], doubtful: Doubts) -> Any:
    encoded = _text(values, doubtful).dictionary_encode()
    # Python's idea of lower case, because Arrow's knows other versions of Unicode.
    lowered = pa.array([kind.lower() for kind in encoded.dictionary.to_pylist()], pa.string())
    return lowered.take(encoded.indices)


def _price(values: list[Any], doubtful: Doubts) -> Any:
    kinds = _integers_or_texts(values, doubtful)
    encoded = _stripped(_texts(values) if int in kinds else pa.array(values, pa.string())).dictionary_encode()
    # Arrow itself would take a tiny number with an exponent for zero.
    plain = pc.match_substring_regex(encoded.dictionary, _PLAIN_PRICE)
    if not pc.all(plain).as_py():
        _doubt(pc.invert(plain).take(encoded.indices), doubtful)
    return pc.if_else(plain, encoded.dictionary, _NO_TEXT).cast(PRICE).take(encoded.indices)


def _event_time(values: list[Any], doubtful: Doubts) -> Any:
    texts = _text(values, doubtful).view(pa.binary())
    suffix = pc.binary_slice(texts, _BODY_CHARS, _NO_END).dictionary_encode()
    shift = pa.array([suffix_us(text) for text in _ascii(suffix.dictionary)], pa.int64())
    moments = _moments(pc.binary_slice(texts, 0, _BODY_CHARS))
    instants = pc.add(moments.cast(pa.int64()), shift.take(suffix.indices))
    in_range = pc.and_(pc.greater_equal(instants, _FIRST_US), pc.less_equal(instants, _LAST_US)).fill_null(_FALSE)
    if not pc.all(in_range).as_py():
        _doubt(pc.invert(in_range), doubtful)
        instants = pc.if_else(in_range, instants, _NO_INSTANT)
    return instants.cast(TIME)


def _moments(bodies: Any) -> Any:
    """Day and time of day in UTC; null where it is none."""
    day = pc.binary_slice(bodies, 0, _DAY_CHARS).dictionary_encode()
    in_calendar = pa.array([is_day(text) for text in _ascii(day.dictionary)], pa.bool_())
    good = pc.and_(pc.match_substring_regex(bodies, _BODY), in_calendar.take(day.indices))
    return pc.if_else(good, bodies, _NO_BYTES).cast(pa.string()).cast(_US)


def _ascii(dictionary: Any) -> list[str]:
    """Pieces of texts, perhaps cut within a character; other characters, which no instant has, are replaced."""
    return [piece.decode("ascii", "replace") for piece in dictionary.to_pylist()]


_RULES: Final[dict[str, Callable[[list[Any], Doubts], Any]]] = {
    "event_time": _event_time,
    "event_type": _event_type,
    "product_id": _identifier,
    "category_id": _identifier,
    "category_code": _text,
    "brand": _text,
    "price": _price,
    "user_id": _identifier,
    "user_session": _text,
}

"""The contract of a record, judged for many records at once, column by column. Pure.

A column's rule answers with the normalised values and says for which rows it is sure. A row of which any column is not
sure is `doubtful`, and `record.judge` decides on it; so what is fast here need not be complete, only never wrong.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from libs.common.events.schema import EVENT_SCHEMA, PRICE, TIME
from services.validator.record import COLUMNS, REQUIRED
from services.validator.times import is_day, suffix_us

Judged = tuple[Any, Any]
"""Values (an Arrow array) and where they are certain (a Boolean array without nulls; None: everywhere)."""

RECORD_SCHEMA: Final = pa.schema([EVENT_SCHEMA.field(name) for name in COLUMNS])
"""The part of an event that comes from its record."""

_US: Final = pa.timestamp("us")
_FIRST_US: Final = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z, the first instant of Python, SQL Server and Parquet
_LAST_US: Final = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
_CLOCK: Final = r"^[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d$"
_PLAIN_PRICE: Final = r"^\d{1,14}(?:\.\d{1,4})?$"


def judge_columns(records: Sequence[Any]) -> tuple[Any, Any]:
    """Judge objects that carry the contract's fields as attributes (None where absent).

    A float literal arrives as text in `price` and as anything but int, str and None elsewhere. Returns a table of
    RECORD_SCHEMA with one row per record, and a Boolean array that is true where the row can be trusted.
    """
    columns = []
    certain: Any = None
    for name in COLUMNS:
        values, sure = _RULES[name](list(map(attrgetter(name), records)))
        if name in REQUIRED and values.null_count:
            sure = _both(sure, values.is_valid())
        certain = _both(certain, sure)
        columns.append(values)
    table = pa.Table.from_arrays(columns, schema=RECORD_SCHEMA)
    return table, pa.repeat(True, len(records)) if certain is None else certain


def _both(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return pc.and_(one, other)


def _text(values: list[Any]) -> Judged:
    try:
        return _stripped(pa.array(values, pa.string())), None
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return _of_types(values, _stripped_of, str)


def _stripped_of(values: list[Any]) -> Any:
    return _stripped(pa.array(values, pa.string()))


def _stripped(array: Any) -> Any:
    # Arrow strips the same characters as str.strip; a test compares them all.
    trimmed = pc.utf8_trim_whitespace(array)
    blank = pc.equal(trimmed, "")
    return pc.if_else(blank, None, trimmed) if pc.any(blank).as_py() else trimmed


def _of_types(values: list[Any], build: Callable[[list[Any]], Any], *types: type) -> Judged:
    """Build from the values of these exact types (a bool is no int) and null; the others are not certain."""
    allowed = {*types, type(None)}
    sure = pa.array([type(value) in allowed for value in values])
    return build([value if type(value) in allowed else None for value in values]), sure


def _identifier(values: list[Any]) -> Judged:
    types = set(map(type, values)) - {type(None)}
    if types <= {str}:
        return _stripped_of(values), None
    if types == {int}:
        return _integers(values), None
    if types == {int, str}:
        return _stripped_of(_as_texts(values)), None
    return _of_types(values, lambda kept: _stripped_of(_as_texts(kept)), int, str)


def _integers(values: list[Any]) -> Any:
    try:
        return pa.array(values, pa.int64()).cast(pa.string())
    except OverflowError:
        return pa.array(_as_texts(values), pa.string())


def _as_texts(values: list[Any]) -> list[Any]:
    return [str(value) if type(value) is int else value for value in values]


def _event_type(values: list[Any]) -> Judged:
    stripped, sure = _text(values)
    encoded = stripped.dictionary_encode()
    # Python's idea of lower case, because Arrow's knows other versions of Unicode.
    lowered = pa.array([kind.lower() for kind in encoded.dictionary.to_pylist()], pa.string())
    return lowered.take(encoded.indices), sure


def _price(values: list[Any]) -> Judged:
    types = set(map(type, values)) - {type(None)}
    if types <= {int, str}:
        texts, sure = _stripped_of(_as_texts(values) if int in types else values), None
    else:
        texts, sure = _of_types(values, lambda kept: _stripped_of(_as_texts(kept)), int, str)
    try:
        prices = texts.cast(PRICE)
    except pa.ArrowInvalid:
        plain = pc.match_substring_regex(texts, _PLAIN_PRICE)
        prices = pc.if_else(plain, texts, None).cast(PRICE)
        sure = _both(sure, plain.fill_null(True))
    if pc.any(pc.less(prices, pa.scalar(0, PRICE))).as_py():
        sure = _both(sure, pc.greater_equal(prices, pa.scalar(0, PRICE)).fill_null(True))
    return prices, sure


def _event_time(values: list[Any]) -> Judged:
    texts, sure = _text(values)
    day = pc.utf8_slice_codeunits(texts, 0, 10)
    clock = pc.utf8_slice_codeunits(texts, 10, 19)
    suffix = pc.utf8_slice_codeunits(texts, 19).dictionary_encode()
    good_day = _by_dictionary(day.dictionary_encode(), is_day, pa.bool_())
    shift = _by_dictionary(suffix, suffix_us, pa.int64())
    good = pc.and_(good_day, pc.match_substring_regex(clock, _CLOCK)).fill_null(False)
    good = pc.and_(good, shift.is_valid())
    seconds = pc.if_else(good, pc.utf8_slice_codeunits(texts, 0, 19), None).cast(_US).cast(pa.int64())
    instants = pc.add(seconds, shift)
    in_range = pc.and_(pc.greater_equal(instants, _FIRST_US), pc.less_equal(instants, _LAST_US)).fill_null(False)
    certain = pc.and_(good, in_range)
    return pc.if_else(certain, instants, None).cast(TIME), _both(sure, certain)


def _by_dictionary(encoded: Any, rule: Callable[[str], Any], result: Any) -> Any:
    answers = pa.array([rule(text) for text in encoded.dictionary.to_pylist()], result)
    return answers.take(encoded.indices)


_RULES: Final[dict[str, Callable[[list[Any]], Judged]]] = {
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

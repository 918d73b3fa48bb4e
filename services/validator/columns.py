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

_RARE: Final = 64
"""Of integers and texts in one column those are judged singly that the others outnumber so many times."""
# Typed scalars, because Arrow looks for pandas whenever it has to infer a type.
_BLANK: Final = pa.scalar("", pa.string())
_NO_TEXT: Final = pa.scalar(None, pa.string())
_FALSE: Final = pa.scalar(False, pa.bool_())
_TRUE: Final = pa.scalar(True, pa.bool_())
_US: Final = pa.timestamp("us")
# 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z: what Python, SQL Server and DuckDB agree upon.
_FIRST_US: Final = pa.scalar(-62_135_596_800_000_000, pa.int64())
_LAST_US: Final = pa.scalar(253_402_300_799_999_999, pa.int64())
_NO_INSTANT: Final = pa.scalar(None, pa.int64())
_DAY_CHARS: Final = len("2019-10-01")
_BODY_CHARS: Final = len("2019-10-01 00:00:00")
_BODY: Final = r"^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d$"
_PLAIN_PRICE: Final = r"^\d{1,14}(?:\.\d{1,4}0{0,12})?$"


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
    return table, pa.repeat(_TRUE, len(records)) if certain is None else certain


def _both(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return pc.and_(one, other)


def _text(values: list[Any]) -> Judged:
    try:
        return _stripped(pa.array(values, pa.string())), None
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        sure = _only(values, list(map(type, values)), {str})
        return _stripped(pa.array(values, pa.string())), sure


def _only(values: list[Any], kinds: list[type], kept: set[type]) -> Any:
    """Put None for every value that is not exactly of a type that is kept; return where not, as in `Judged`."""
    odd_kinds = set(kinds) - kept - {type(None)}
    if not odd_kinds:
        return None
    sure = [True] * len(values)
    for odd in odd_kinds:
        row = -1
        for _ in range(kinds.count(odd)):  # few, as a rule: list.index looks faster than a loop over all values
            row = kinds.index(odd, row + 1)
            values[row] = None
            sure[row] = False
    return pa.array(sure, pa.bool_())


def _integers_or_texts(values: list[Any]) -> tuple[set[type], Any]:
    """Reduce a column to the integers, the texts, or, where neither is rare, both; return which, and where certain."""
    present = set(map(type, values)) - {type(None)}
    if present <= {int} or present <= {str}:
        return present, None
    kinds = list(map(type, values))
    counts: dict[type, int] = {kind: kinds.count(kind) for kind in (int, str)}
    kept = {kind for kind, count in counts.items() if count * _RARE > max(counts.values())}
    return kept, _only(values, kinds, kept)


def _stripped(array: Any) -> Any:
    # Arrow strips the same characters as str.strip; a test compares them all.
    trimmed = pc.utf8_trim_whitespace(array)
    blank = pc.equal(trimmed, _BLANK)
    return pc.if_else(blank, _NO_TEXT, trimmed) if pc.any(blank).as_py() else trimmed


def _identifier(values: list[Any]) -> Judged:
    kinds, sure = _integers_or_texts(values)
    if kinds == {int}:
        return _integers(values), sure
    return _stripped(_texts(values) if int in kinds else pa.array(values, pa.string())), sure


def _integers(values: list[Any]) -> Any:
    try:
        return pa.array(values, pa.int64()).cast(pa.string())
    except OverflowError:
        return _texts(values)


def _texts(values: list[Any]) -> Any:
    return pa.array([str(value) if type(value) is int else value for value in values], pa.string())


def _event_type(values: list[Any]) -> Judged:
    stripped, sure = _text(values)
    encoded = stripped.dictionary_encode()
    # Python's idea of lower case, because Arrow's knows other versions of Unicode.
    lowered = pa.array([kind.lower() for kind in encoded.dictionary.to_pylist()], pa.string())
    return lowered.take(encoded.indices), sure


def _price(values: list[Any]) -> Judged:
    kinds, sure = _integers_or_texts(values)
    texts = _stripped(_texts(values) if int in kinds else pa.array(values, pa.string()))
    # Arrow itself would take a tiny number with an exponent for zero.
    plain = pc.match_substring_regex(texts, _PLAIN_PRICE)
    if pc.all(plain).as_py():
        return texts.cast(PRICE), sure
    return pc.if_else(plain, texts, _NO_TEXT).cast(PRICE), _both(sure, plain.fill_null(_TRUE))


def _event_time(values: list[Any]) -> Judged:
    texts, sure = _text(values)
    body = pc.utf8_slice_codeunits(texts, 0, _BODY_CHARS)
    suffix = pc.utf8_slice_codeunits(texts, _BODY_CHARS).dictionary_encode()
    shift = _by_dictionary(suffix, suffix_us, pa.int64())
    good = pc.and_(pc.match_substring_regex(body, _BODY), shift.is_valid()).fill_null(_FALSE)
    try:
        moments = pc.if_else(good, body, _NO_TEXT).cast(_US)
    except pa.ArrowInvalid:  # for a day that no calendar has
        day = pc.utf8_slice_codeunits(body, 0, _DAY_CHARS).dictionary_encode()
        good = pc.and_(good, _by_dictionary(day, is_day, pa.bool_()).fill_null(_FALSE))
        moments = pc.if_else(good, body, _NO_TEXT).cast(_US)
    instants = pc.add(moments.cast(pa.int64()), shift)
    in_range = pc.and_(pc.greater_equal(instants, _FIRST_US), pc.less_equal(instants, _LAST_US)).fill_null(_FALSE)
    certain = pc.and_(good, in_range)
    return pc.if_else(certain, instants, _NO_INSTANT).cast(TIME), _both(sure, certain)


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

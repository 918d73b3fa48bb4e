"""The contract of a record, judged for many records at once, column by column. Pure.

A column's rule answers with the normalised values and notes the rows on which it is not sure. Those are `doubtful`, and
`record.judge` decides on them; so what is fast here need not be complete, only never wrong. Most texts of a column come
often (times too: a shop has many events a minute), so a rule that costs something is applied to each distinct one.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from libs.common.events.schema import ENCODED_EVENT_SCHEMA, PRICE, TIME
from services.validator.gathering import Gathered
from services.validator.record import COLUMNS, REQUIRED
from services.validator.times import minute_us, second_us, suffix_us

Doubts = set[int]
"""Rows that somebody else has to judge; what stands in their columns does not matter."""

RECORD_SCHEMA: Final = pa.schema([ENCODED_EVENT_SCHEMA.field(name) for name in COLUMNS])
"""The part of an event that comes from its record."""

# Typed scalars, because Arrow looks for pandas whenever it has to infer a type.
_BLANK: Final = pa.scalar("", pa.string())
_NO_TEXT: Final = pa.scalar(None, pa.string())
_FALSE: Final = pa.scalar(False, pa.bool_())
# 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z: what Python, SQL Server and DuckDB agree upon.
_FIRST_US: Final = pa.scalar(-62_135_596_800_000_000, pa.int64())
_LAST_US: Final = pa.scalar(253_402_300_799_999_999, pa.int64())
_NO_INSTANT: Final = pa.scalar(None, pa.int64())
# Where an instant's minute and its second end, in bytes: a text with other characters before is none.
_MINUTE_END: Final = len("2019-10-01 00:00")
_SECOND_END: Final = len("2019-10-01 00:00:00")
_NO_END: Final = 2**31 - 1  # spelt out, because Arrow 26 fails without one where a text is shorter than the start
_PLAIN_PRICE: Final = r"^\d{1,14}(?:\.\d{1,4}0{0,12})?$"


def judge_columns(gathered: Sequence[Gathered]) -> tuple[Any, list[int]]:
    """Judge what was gathered (at least once), one after the other.

    Returns a table of RECORD_SCHEMA with one row per record, and the rows that are not to be trusted, ascending.
    """
    columns = []
    doubtful = _all_doubts(gathered)
    for name, arrays in zip(COLUMNS, zip(*(some.columns for some in gathered), strict=True), strict=True):
        values = _RULES[name](_joined(arrays), doubtful)
        if name in REQUIRED and values.null_count:
            _doubt(values.is_null(), doubtful)
        columns.append(values)
    return pa.Table.from_arrays(columns, schema=RECORD_SCHEMA), sorted(doubtful)


def _all_doubts(gathered: Sequence[Gathered]) -> Doubts:
    doubtful: Doubts = set()
    first = 0
    for some in gathered:
        doubtful.update(first + row for row in some.doubtful)
        first += len(some.columns[0])
    return doubtful


def _joined(arrays: Sequence[Any]) -> Any:
    if len({array.type for array in arrays}) > 1:
        arrays = [array.cast(pa.string()) for array in arrays]
    return pa.concat_arrays(arrays)


def _doubt(where: Any, doubtful: Doubts) -> None:
    doubtful.update(pc.indices_nonzero(where).to_pylist())


def _stripped(array: Any) -> Any:
    # Arrow strips the same characters as str.strip; a test compares them all.
    trimmed = pc.utf8_trim_whitespace(array)
    blank = pc.equal(trimmed, _BLANK)
    return pc.if_else(blank, _NO_TEXT, trimmed) if pc.any(blank).as_py() else trimmed


def _text(array: Any, _: Doubts) -> Any:
    encoded = array.dictionary_encode()
    return _mapped(encoded, _stripped(encoded.dictionary))


def _mapped(encoded: Any, dictionary: Any) -> Any:
    """The column with other texts in the place of those that it has; they may be equal, or null."""
    if dictionary.equals(encoded.dictionary):
        return encoded
    return dictionary.take(encoded.indices).dictionary_encode()


def _event_type(array: Any, doubtful: Doubts) -> Any:
    encoded = _text(array, doubtful)
    # Python's idea of lower case, because Arrow's knows other versions of Unicode.
    return _mapped(encoded, pa.array([kind.lower() for kind in encoded.dictionary.to_pylist()], pa.string()))


def _identifier(array: Any, doubtful: Doubts) -> Any:
    if array.type == pa.string():
        return _text(array, doubtful)
    encoded = array.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices, encoded.dictionary.cast(pa.string()))


def _price(array: Any, doubtful: Doubts) -> Any:
    encoded = array.dictionary_encode()
    texts = _stripped(encoded.dictionary)
    # Arrow itself would take a tiny number with an exponent for zero.
    plain = pc.match_substring_regex(texts, _PLAIN_PRICE)
    if not pc.all(plain).as_py():
        _doubt(pc.invert(plain).take(encoded.indices), doubtful)
    return pc.if_else(plain, texts, _NO_TEXT).cast(PRICE).take(encoded.indices)


def _event_time(array: Any, doubtful: Doubts) -> Any:
    texts = array.view(pa.binary())  # as they came: one with blanks around it is a doubt
    instants = pc.add(
        pc.add(_piecewise(minute_us, texts, 0, _MINUTE_END), _piecewise(second_us, texts, _MINUTE_END, _SECOND_END)),
        _piecewise(suffix_us, texts, _SECOND_END, _NO_END),
    )
    in_range = pc.and_(pc.greater_equal(instants, _FIRST_US), pc.less_equal(instants, _LAST_US)).fill_null(_FALSE)
    if not pc.all(in_range).as_py():
        _doubt(pc.invert(in_range), doubtful)
        instants = pc.if_else(in_range, instants, _NO_INSTANT)
    return instants.cast(TIME)


def _piecewise(microseconds: Callable[[str], int | None], texts: Any, begin: int, end: int) -> Any:
    """What a piece of each text stands for; null where it stands for nothing."""
    pieces = pc.binary_slice(texts, begin, end).dictionary_encode()
    # A piece may be cut within a character; other characters, which no instant has, are replaced.
    known = [microseconds(piece.decode("ascii", "replace")) for piece in pieces.dictionary.to_pylist()]
    return pa.array(known, pa.int64()).take(pieces.indices)


_RULES: Final[dict[str, Callable[[Any, Doubts], Any]]] = {
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

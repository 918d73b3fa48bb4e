"""From records to columns: their values as Arrow arrays, and the rows whose values are of no type that a column knows.

A few records at a time, while they still lie in the processor's cache: how far apart the values of many records lie in
memory costs more than all that is done with them afterwards. Pure.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from services.validator.kinds import rows_of
from services.validator.record import COLUMNS

_RARE: Final = 64
"""Of integers and texts in one column those are doubtful that the others outnumber so many times."""


class Gathered(NamedTuple):
    """An array for each of COLUMNS, of texts, or of integers where a column of identifiers has no others.

    Rows in `doubtful` have null where they have a value of another type.
    """

    columns: list[Any]
    doubtful: set[int]


def gather(records: Sequence[Any]) -> Gathered:
    """Take up objects that carry the contract's fields as attributes (None where absent).

    A float literal is text in `price`, and anything but int, str and None elsewhere.
    """
    doubtful: set[int] = set()
    transposed = _transposed(records)
    return Gathered(
        [_TAKES[name](values, doubtful) for name, values in zip(COLUMNS, transposed, strict=True)], doubtful
    )


def _transposed(records: Sequence[Any]) -> tuple[list[Any], ...]:
    # Spelt out, because the interpreter then reads the attributes in two thirds of the time of an attrgetter.
    return (
        [record.event_time for record in records],
        [record.event_type for record in records],
        [record.product_id for record in records],
        [record.category_id for record in records],
        [record.category_code for record in records],
        [record.brand for record in records],
        [record.price for record in records],
        [record.user_id for record in records],
        [record.user_session for record in records],
    )


def _take_texts(values: list[Any], doubtful: set[int]) -> Any:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        kinds = list(map(type, values))
        _drop(set(kinds) - {str, type(None)}, kinds, values, doubtful)
        return pa.array(values, pa.string())


def _take_identifiers(values: list[Any], doubtful: set[int]) -> Any:
    if _keep_integers_or_texts(values, doubtful) != {int}:
        return _texts(values)
    try:
        return pa.array(values, pa.int64())
    except OverflowError:
        return _texts(values)


def _take_prices(values: list[Any], doubtful: set[int]) -> Any:
    kinds = _keep_integers_or_texts(values, doubtful)
    return _texts(values) if int in kinds else pa.array(values, pa.string())


def _texts(values: list[Any]) -> Any:
    return pa.array([str(value) if type(value) is int else value for value in values], pa.string())


def _keep_integers_or_texts(values: list[Any], doubtful: set[int]) -> set[type]:
    """Reduce a column to the integers, the texts, or, where neither is rare, both; return which."""
    kinds = list(map(type, values))
    present = set(kinds) - {type(None)}
    kept = present & {int, str}
    if len(kept) > 1:
        integers, texts = kinds.count(int), kinds.count(str)
        if integers > texts * _RARE:
            kept = {int}
        elif texts > integers * _RARE:
            kept = {str}
    _drop(present - kept, kinds, values, doubtful)
    return kept


def _drop(dropped: set[type], kinds: list[type], values: list[Any], doubtful: set[int]) -> None:
    for row in rows_of(dropped, kinds):
        values[row] = None
        doubtful.add(row)


_TAKES: Final[dict[str, Callable[[list[Any], set[int]], Any]]] = {
    "event_time": _take_texts,
    "event_type": _take_texts,
    "product_id": _take_identifiers,
    "category_id": _take_identifiers,
    "category_code": _take_texts,
    "brand": _take_texts,
    "price": _take_prices,
    "user_id": _take_identifiers,
    "user_session": _take_texts,
}

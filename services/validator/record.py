"""The contract of a record: the valid event it is, or the one fault it is refused for. Pure.

This is the word that counts. `columns` says the same faster, for whole columns, and asks here where it cannot be sure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from services.validator.times import event_time
from services.validator.values import ValueFault, identifier, price, shown, text


class Event(NamedTuple):
    """A valid record, normalised; the source's columns in the contract's order."""

    event_time: datetime
    event_type: str
    product_id: str | None
    category_id: str | None
    category_code: str | None
    brand: str | None
    price: Decimal | None
    user_id: str
    user_session: str | None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a record is refused; `field` is None where the record as a whole is at fault."""

    code: str
    field: str | None
    message: str


def _event_type(value: Any) -> str | None:
    kind = text(value)
    return None if kind is None else kind.lower()


COLUMNS: Final = Event._fields
REQUIRED: Final = ("event_time", "event_type", "user_id")

_RULES: Final[dict[str, Callable[[Any], Any]]] = {
    "event_time": event_time,
    "event_type": _event_type,
    "product_id": identifier,
    "category_id": identifier,
    "category_code": text,
    "brand": text,
    "price": price,
    "user_id": identifier,
    "user_session": text,
}


def judge(record: Any) -> Event | Fault:
    """Judge one record (as `values.read_json` gives it): missing fields first, then the first fault in column order."""
    if not isinstance(record, dict):
        return Fault("not_an_object", None, f"a record must be an object, is {shown(record)}")
    for name in REQUIRED:
        if record.get(name) is None:
            return Fault("missing_field", name, f"{name} is required and {'null' if name in record else 'absent'}")
    values = []
    for name in COLUMNS:
        try:
            value = _RULES[name](record.get(name))
        except ValueFault as fault:
            return Fault(fault.code, name, f"{name} {fault.message}")
        if value is None and name in REQUIRED:
            return Fault("empty_value", name, f"{name} is required and blank")
        values.append(value)
    return Event(*values)

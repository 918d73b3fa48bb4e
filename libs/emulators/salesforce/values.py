"""Field values: from CSV text or JSON to what is stored, and back to JSON.

Stored forms, chosen so that SQLite compares, sorts and adds them as Salesforce does: decimals are integers scaled by
the field's ``scale`` (exact), dates ``YYYY-MM-DD``, date-times UTC text of fixed width to the millisecond, booleans
0 and 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

import msgspec

from libs.emulators.salesforce.describe import soap_type
from libs.emulators.salesforce.errors import RowFailure, RowRefused
from libs.emulators.salesforce.ids import IdCodec, normalise_id
from libs.emulators.salesforce.schema import DECIMAL_TYPES, TEXT_TYPES, Field

Stored = str | int | None
Converter = Callable[[str], Stored]

NULL_MARKER = "#N/A"
"""The CSV cell that sets a field to null; an empty cell leaves it as it is."""

_TRUE = frozenset({"true", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "no", "n", "off", "0"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_INT_LIMIT = 2**31


class WrongType(ValueError):
    """The text is no value of the field's type; how that is told depends on the API that met it."""


def converter(field: Field, ids: IdCodec) -> Converter:
    """Return the function from text to the stored value of ``field``.

    It raises WrongType for text of another type and RowRefused for a value that the field cannot hold.
    """
    if field.type in DECIMAL_TYPES:
        return _decimal(field)
    if field.type == "picklist":
        return _picklist(field)
    if field.type in TEXT_TYPES:
        return _text(field)
    if field.type == "id":
        return lambda text: _record_id(text, ids)
    return {
        "int": _int(field),
        "boolean": _boolean,
        "date": _date,
        "datetime": _datetime,
        "reference": _reference(field),
    }[field.type]


def _refuse(code: str, message: str, field: Field) -> RowRefused:
    return RowRefused(RowFailure(code, f"{field.display_label}: {message}", (field.name,)))


def _decimal(field: Field) -> Converter:
    scale = field.scale
    unit = 10**scale
    limit = 10**field.precision

    def convert(text: str) -> int:
        whole, _, fraction = text.partition(".")
        if text.isascii() and whole.isdigit() and len(fraction) == scale and (not scale or fraction.isdigit()):
            scaled = int(whole + fraction)
        elif not _NUMBER.fullmatch(text.strip()):
            raise WrongType(text)
        else:
            exact = Decimal(text.strip()) * unit
            scaled = int(exact.quantize(Decimal(1), ROUND_HALF_UP)) if exact.adjusted() <= 26 else limit
        if abs(scaled) >= limit:
            raise _refuse("NUMBER_OUTSIDE_VALID_RANGE", f"value outside of valid range on numeric field: {text}", field)
        return scaled

    return convert


def _int(field: Field) -> Converter:
    def convert(text: str) -> int:
        try:
            number = Decimal(text.strip())
        except InvalidOperation as error:
            raise WrongType(text) from error
        if not number.is_finite() or number != number.to_integral_value():
            raise WrongType(text)
        if not -_INT_LIMIT <= number < _INT_LIMIT:
            raise _refuse("NUMBER_OUTSIDE_VALID_RANGE", f"value outside of valid range on numeric field: {text}", field)
        return int(number)

    return convert


def _text(field: Field) -> Converter:
    length = field.length

    def convert(text: str) -> Stored:
        trimmed = text.strip()
        if len(trimmed) > length:
            shown = trimmed[:100]
            raise _refuse("STRING_TOO_LONG", f"data value too large: {shown} (max length={length})", field)
        return trimmed or None

    return convert


def _picklist(field: Field) -> Converter:
    defined = {value.lower(): value for value in field.picklist_values}
    plain = _text(field)

    def convert(text: str) -> Stored:
        trimmed = text.strip()
        value = defined.get(trimmed.lower())
        if value is not None:
            return value
        if field.restricted_picklist and trimmed:
            message = f"bad value for restricted picklist field: {trimmed}"
            raise _refuse("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, field)
        return plain(text)

    return convert


def _boolean(text: str) -> int:
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return 1
    if lowered in _FALSE:
        return 0
    raise WrongType(text)


def _date(text: str) -> str:
    # Python also reads basic and week dates, which Salesforce does not
    if len(text) != 10 or text[4] != "-" or text[7] != "-" or not text.isascii():
        raise WrongType(text)
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise WrongType(text) from error
    return text


def _datetime(text: str) -> str:
    """Cut to milliseconds, in UTC; text without a zone is taken as UTC, a date alone as its midnight."""
    if len(text) == 10:
        return f"{_date(text)}T00:00:00.000+0000"
    if len(text) < 19 or text[4] != "-" or text[7] != "-" or text[10] != "T" or text[16] != ":" or not text.isascii():
        raise WrongType(text)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and not text.endswith("Z"):
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise WrongType(text) from error
    return datetime_text(moment)


def datetime_text(moment: datetime) -> str:
    """Render a UTC time as Salesforce writes it: ``2026-01-31T10:00:00.000+0000``."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "+0000"


def _record_id(text: str, ids: IdCodec) -> int:
    sequence = ids.decode(text.strip())
    if sequence is None:
        raise RowRefused(RowFailure("MALFORMED_ID", f"Id in the wrong format or of another object: {text}", ("Id",)))
    return sequence


def _reference(field: Field) -> Converter:
    def convert(text: str) -> str:
        full = normalise_id(text.strip())
        if full is None:
            raise _refuse("MALFORMED_ID", f"id value of incorrect type: {text}", field)
        return full

    return convert


def from_csv(field: Field, position: int, ids: IdCodec) -> Converter:
    """Return the converter of one CSV column; ``position`` (from 0) appears in Salesforce's message."""
    convert = converter(field, ids)

    def from_cell(cell: str) -> Stored:
        try:
            return convert(cell)
        except WrongType as error:
            message = (
                f"Failed to deserialize field at col {position}. Due to, '{cell}' is not a valid value "
                f"for the type {soap_type(field)}"
            )
            raise RowRefused(RowFailure("INVALID_FIELD", message, (field.name,))) from error

    return from_cell


def from_json(convert: Converter, value: object) -> Stored:
    """Convert one value of a JSON body; empty text is null.

    Raises WrongType for an object, a list, or text of another type, and RowRefused as ``convert`` does.
    """
    match value:
        case None | "":
            return None
        case bool():
            return convert("true" if value else "false")
        case str() | int() | Decimal():
            return convert(str(value))
        case _:
            raise WrongType(str(value))


def decimal_text(scaled: int, scale: int) -> str:
    """Render a scaled integer exactly, with at least one decimal, as Salesforce's JSON does (``12.5``, ``3.0``)."""
    digits = str(abs(scaled)).rjust(scale + 1, "0")
    whole, fraction = (digits[:-scale], digits[-scale:].rstrip("0")) if scale else (digits, "")
    return f"{'-' if scaled < 0 else ''}{whole}.{fraction or '0'}"


def json_renderer(field: Field, ids: IdCodec) -> Callable[[Stored], object]:
    """Return the function from the stored value to what msgspec encodes in a response."""
    if field.type in DECIMAL_TYPES:
        scale = field.scale
        return lambda value: None if value is None else msgspec.Raw(decimal_text(int(value), scale).encode())
    if field.type == "boolean":
        return lambda value: bool(value)
    if field.type == "id":
        return lambda value: None if value is None else ids.encode(int(value))
    return lambda value: value

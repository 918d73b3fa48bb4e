"""What a single value may be, and what it becomes. Pure.

A value is what `read_json` makes of JSON text: None, bool, str, list, dict, and for every number its literal text as
`Number`, so that nothing passes through a float. Each function is idempotent on what it returns, in JSON's terms.
"""

import json
import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Final

from libs.common.events.schema import PRICE_PRECISION, PRICE_SCALE

_SHOWN_CHARS: Final = 80

_PRICE: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PRICE_STEP: Final = Decimal(1).scaleb(-PRICE_SCALE)
_exact: Final = Context(prec=PRICE_PRECISION, traps=[Inexact, InvalidOperation])


class Number(str):
    """The text of a JSON number (or of NaN, Infinity, -Infinity, which JSON has not but some APIs send)."""

    __slots__ = ()

    @property
    def is_integer(self) -> bool:
        """Whether it is written as one: digits, perhaps a sign; no point, no exponent."""
        return self.removeprefix("-").isdecimal()


class ValueFault(Exception):
    """A value breaks its column's rule; `message` goes on where the column's name stands before it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_decoder: Final = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=Number, strict=False)


def read_json(text: bytes) -> Any:
    """One record's value. The last of several equal keys counts, as in every JSON library that we know.

    Raises ValueError or RecursionError for what `split_page` does not let through.
    """
    return _decoder.decode(text.decode("utf-8", "surrogateescape"))


def text(value: Any) -> str | None:
    """A text stripped; blank and null are None. Raises ValueFault `bad_type` for anything but text."""
    if value is None:
        return None
    if type(value) is not str:
        raise ValueFault("bad_type", f"must be text, is {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueFault("bad_type", f"must be valid Unicode text, is {shown(value)}") from None
    return value.strip() or None


def identifier(value: Any) -> str | None:
    """An integer or text as text. Raises ValueFault `bad_type` for a boolean, a fraction, a list, an object."""
    if isinstance(value, Number):
        if not value.is_integer:
            raise ValueFault("bad_type", f"must be text or an integer, is {shown(value)}")
        return "0" if value == "-0" else str(value)
    if value is None or type(value) is str:
        return text(value)
    raise ValueFault("bad_type", f"must be text or an integer, is {shown(value)}")


def price(value: Any) -> Decimal | None:
    """A number, or text that is one (decimal notation, exponent allowed), at the scale of the column.

    Raises ValueFault: `bad_price` for what is no finite number or does not fit the column exactly, `negative_price`
    for a number below zero. Minus zero is zero.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueFault("bad_price", f"must be a number, is {shown(value)}")
    literal = value.strip()
    if not literal:
        return None
    if not _PRICE.fullmatch(literal):
        raise ValueFault("bad_price", f"must be a finite number, is {shown(value)}")
    try:
        number = Decimal(literal)
    except InvalidOperation:  # an exponent of 19 digits
        raise ValueFault("bad_price", f"must be a number of a sensible size, is {shown(value)}") from None
    if number < 0:
        raise ValueFault("negative_price", f"must not be negative, is {shown(value)}")
    if not number:
        return Decimal(0).quantize(_PRICE_STEP)
    try:
        return number.quantize(_PRICE_STEP, context=_exact)
    except (Inexact, InvalidOperation):
        whole = PRICE_PRECISION - PRICE_SCALE
        raise ValueFault(
            "bad_price", f"must fit {whole} digits before and {PRICE_SCALE} after the point exactly, is {shown(value)}"
        ) from None


def shown(value: Any) -> str:
    """The value for a message, cut to a length; the reject has it whole."""
    printed = str(value) if isinstance(value, Number) else json.dumps(value)
    return printed if len(printed) <= _SHOWN_CHARS else f"{printed[:_SHOWN_CHARS]}…"

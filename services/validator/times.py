"""Which texts are instants. Pure.

Date, `T` or one blank, hours and minutes, perhaps seconds, perhaps a fraction of a second, perhaps a zone: `Z`, `UTC`
or an offset (±hh, ±hhmm, ±hh:mm), with or without a blank before it; no zone means UTC. Upper or lower case, as RFC
3339 has it.
A day alone, week dates, the form without dashes, 24:00 and leap seconds are no instants here.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from services.validator.values import ValueFault, shown, text

_BODY: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d)?", re.ASCII)
_MINUTE: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)", re.ASCII)
_SECOND: Final = re.compile(r":[0-5]\d", re.ASCII)
_SUFFIX: Final = re.compile(r"(?:[.,](\d+))? ?(?:(Z|UTC)|([+-])(\d\d)(?::?(\d\d))?)?", re.ASCII | re.IGNORECASE)
_FRACTION_DIGITS: Final = 6
_HOURS, _MINUTES = 24, 60
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def event_time(value: Any) -> datetime | None:
    """The instant in UTC, cut to microseconds; None for null and for blank text.

    Raises ValueFault `bad_time` for anything else, an instant outside the years 1 to 9999 included.
    """
    if value is None:
        return None
    if type(value) is not str:
        raise ValueFault("bad_time", f"must be an instant as text, is {shown(value)}")
    stripped = text(value)
    if stripped is None:
        return None
    instant = _instant(stripped)
    if instant is None:
        raise ValueFault("bad_time", f"must be an instant like 2019-10-01T00:00:00Z, is {shown(value)}")
    return instant


def _instant(stripped: str) -> datetime | None:
    body = _BODY.match(stripped)
    if body is None:
        return None
    day, minute, second = body.groups()
    suffix = stripped[body.end() :]
    if second is None and suffix[:1] in (".", ","):
        return None  # a fraction of a minute
    shift_us = suffix_us(suffix)
    if shift_us is None:
        return None
    try:
        return datetime.fromisoformat(f"{day}T{minute}{second or ':00'}+00:00") + timedelta(microseconds=shift_us)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=4096)
def suffix_us(suffix: str) -> int | None:
    """What follows the seconds (fraction, zone), as microseconds to add to get to UTC; None where it is neither."""
    found = _SUFFIX.fullmatch(suffix)
    if found is None:
        return None
    fraction, _, sign, hours, minutes = found.groups()
    micros = int((fraction or "")[:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, "0"))
    if sign is None:
        return micros
    if int(hours) >= _HOURS or int(minutes or 0) >= _MINUTES:
        return None
    offset = (int(hours) * _MINUTES + int(minutes or 0)) * 60_000_000
    return micros + (offset if sign == "-" else -offset)


@lru_cache(maxsize=16_384)  # a week has 10,080 minutes
def minute_us(text: str) -> int | None:
    """A day and a minute of it (`2019-10-01 00:00`), as microseconds since 1970 in UTC; None where it is neither."""
    found = _MINUTE.fullmatch(text)
    if found is None:
        return None
    day, minute = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}+00:00")
    except ValueError:
        return None
    return (moment - _EPOCH) // _MICROSECOND


def second_us(text: str) -> int | None:
    """The second that follows (`:00`), as microseconds; None where it is none."""
    return int(text[1:]) * 1_000_000 if _SECOND.fullmatch(text) else None

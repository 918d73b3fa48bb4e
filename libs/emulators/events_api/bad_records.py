"""Records that break the event contract, each with the verdict that the contract gives it.

``code`` and ``field`` are what a validator must answer: a missing required field first, then the first faulty field in
column order. They are stated here by hand, from the contract, so that a validator is checked against something that is
not itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
ABSENT: Final = ""


@dataclass(frozen=True)
class BadRecord:
    """One way to spoil a good record: JSON texts put in place of fields (``ABSENT`` removes one), or of the whole."""

    code: str
    field: str | None
    changes: Mapping[str, str]
    whole: str | None = None

    def spoil(self, record: str) -> str:
        """Return the JSON text of a good record with this fault in it."""
        if self.whole is not None:
            return self.whole
        fields = {name: bytes(raw).decode() for name, raw in _FIELDS.decode(record).items()}
        fields.update(self.changes)
        return "{" + ",".join(f'"{name}":{text}' for name, text in fields.items() if text != ABSENT) + "}"


def _change(code: str, field_name: str, text: str, **also: str) -> BadRecord:
    return BadRecord(code, field_name, {field_name: text, **also})


def _no_object(text: str) -> BadRecord:
    return BadRecord("not_an_object", None, {}, whole=text)


# One column per reject code, so that any seven records in a row show all seven codes.
_BY_CODE: tuple[tuple[BadRecord, ...], ...] = (
    (
        _change("missing_field", "user_id", "null"),
        _change("missing_field", "event_time", ABSENT),
        _change("missing_field", "event_type", ABSENT),
        _change("missing_field", "user_id", ABSENT, price="-1.00", event_time='"yesterday"'),
        _change("missing_field", "event_time", "null"),
    ),
    (
        _change("empty_value", "user_id", '""'),
        _change("empty_value", "event_type", '"   "'),
        _change("empty_value", "event_time", '""'),
        _change("empty_value", "user_id", '" \\t\\n"'),
        _change("empty_value", "event_type", '""'),
    ),
    (
        _change("bad_type", "user_id", "true"),
        _change("bad_type", "product_id", "1004.5"),
        _change("bad_type", "category_id", '["2053013555631882655"]'),
        _change("bad_type", "brand", "42"),
        _change("bad_type", "event_type", "7"),
        _change("bad_type", "user_session", '{"id":"72d76fde"}'),
        _change("bad_type", "category_code", "false"),
    ),
    (
        _change("bad_price", "price", '"abc"'),
        _change("bad_price", "price", '"NaN"'),
        _change("bad_price", "price", "12.34567"),
        _change("bad_price", "price", "123456789012345.00"),
        _change("bad_price", "price", '"1,234.50"'),
        _change("bad_price", "price", '"Infinity"'),
    ),
    (
        _change("negative_price", "price", "-35.79"),
        _change("negative_price", "price", '"-0.01"'),
        _change("negative_price", "price", "-1", user_id="true"),
    ),
    (
        _change("bad_time", "event_time", '"yesterday"'),
        _change("bad_time", "event_time", "1569888000"),
        _change("bad_time", "event_time", '"2019-02-30 00:00:00 UTC"'),
        _change("bad_time", "event_time", '"01/10/2019 10:00:00"'),
        _change("bad_time", "event_time", '"2019-10-01 25:00:00 UTC"', price='"abc"'),
    ),
    (
        _no_object("null"),
        _no_object("42"),
        _no_object('"view"'),
        _no_object('["2019-10-01 00:00:00 UTC","view"]'),
        _no_object("true"),
    ),
)
CODES: Final = tuple(column[0].code for column in _BY_CODE)


def variant(ordinal: int) -> BadRecord:
    """Return the fault of the n-th bad record: the codes in turn, and the faults of a code in turn."""
    turn, code_no = divmod(ordinal, len(_BY_CODE))
    faults = _BY_CODE[code_no]
    return faults[turn % len(faults)]

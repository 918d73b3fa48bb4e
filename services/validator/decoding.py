"""From a page's body to records whose fields are attributes, with the fields outside the contract counted. Pure.

A page is decoded in one typed pass, which is what makes the validator fast. The type forbids unknown fields, so drift
cannot go unseen; the first page that shows one teaches the decoder its name, and the pass is repeated with a type that
has it. What is learnt lasts for a part, so that a part's counts do not depend on what the process saw before.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.common.events.pages import BOM, RECORD_KEYS, split_page
from libs.common.events.report import UNKNOWN_NAMES_MAX
from services.validator.kinds import rows_of
from services.validator.record import COLUMNS
from services.validator.values import Number, read_json

_Value = str | int | float | bool | list[Any] | dict[str, Any] | None
_JSON_TYPES: Final[dict[type, str]] = {
    str: "string",
    int: "number",
    float: "number",
    Number: "number",
    bool: "boolean",
    type(None): "null",
    list: "array",
    dict: "object",
}
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class PageDecoder:
    """Decodes the pages of one part. `unknown` is the drift so far: field → JSON type → records."""

    def __init__(self, unknown_names_max: int = UNKNOWN_NAMES_MAX) -> None:
        self.unknown: dict[str, Counter[str]] = {}
        self._names_max = unknown_names_max
        self._prepare()

    def decode(self, body: bytes) -> Sequence[Any]:
        """One object per record of the page, in order, with the contract's fields as attributes (None where absent).

        A float literal in `price` is its text. A record that is no object, and every record of a page that does not
        decode in one pass, has None in all fields. Raises PageError for a page that holds no records at all.
        """
        body = body.removeprefix(BOM).lstrip(b" \t\r\n")
        records = self._typed(body)
        while records is None and self._learn(body):
            records = self._typed(body)
        if records is None:
            return self._untyped(body)
        kinds = list(map(type, records))
        for row in rows_of(set(kinds) - {self._record}, kinds):
            records[row] = self._blank
        for name, get in self._drift:
            self._count(name, [type(value) for value in map(get, records) if value is not UNSET])
        return records

    def _typed(self, body: bytes) -> list[Any] | None:
        try:
            if body.startswith(b"["):
                return self._decode_list(body)
            page = self._decode_object(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return next((found for key in RECORD_KEYS if (found := getattr(page, key)) is not UNSET), None)

    def _untyped(self, body: bytes) -> Sequence[Any]:
        texts = split_page(body)
        for text in texts:
            record = read_json(text)
            if isinstance(record, dict):
                for name in record.keys() - set(COLUMNS):
                    if name in self.unknown or len(self.unknown) < self._names_max:
                        self._count(name, [type(record[name])])
        self._prepare()
        return [self._blank] * len(texts)

    def _learn(self, body: bytes) -> bool:
        """Take up the page's unknown names; True if decoding it again may go better."""
        if len(self.unknown) >= self._names_max:
            return False
        before = len(self.unknown)
        for text in split_page(body):
            try:
                names = _fields.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            for name in names:
                if name not in COLUMNS and len(self.unknown) < self._names_max:
                    self.unknown.setdefault(name, Counter())
        self._prepare()
        return len(self.unknown) > before

    def _count(self, name: str, types: list[type]) -> None:
        counts = self.unknown.setdefault(name, Counter())
        for kind, records in Counter(types).items():
            counts[_JSON_TYPES[kind]] += records

    def _prepare(self) -> None:
        attributes = {f"unknown_{number}": name for number, name in enumerate(self.unknown)}
        contract = [(name, Any if name == "price" else _Value, None) for name in COLUMNS]
        drift = [(attribute, _Value | UnsetType, UNSET) for attribute in attributes]
        self._record = msgspec.defstruct(
            "Record",
            [*contract, *drift],
            rename=attributes,
            forbid_unknown_fields=len(self.unknown) < self._names_max,
            gc=False,
        )
        self._blank = self._record()
        self._drift: list[tuple[str, Callable[[Any], Any]]] = [
            (name, attrgetter(attribute)) for attribute, name in attributes.items()
        ]
        # A record may be anything; what is no object is told by its type.
        records = list[self._record | str | int | float | bool | list[Any] | None]  # type: ignore[name-defined]
        page = msgspec.defstruct("Page", [(key, records | UnsetType, UNSET) for key in RECORD_KEYS])
        self._decode_list = msgspec.json.Decoder(records, float_hook=str).decode
        self._decode_object = msgspec.json.Decoder(page, float_hook=str).decode

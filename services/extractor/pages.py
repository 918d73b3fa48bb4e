"""What a page says: how many records it holds, and what it tells about the pages that follow. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from services.extractor.errors import ApiMalformedError, ApiResponseError

RECORD_KEYS = ("data", "events", "results", "items")
"""Where an object keeps its records; the first one present counts. A list is its own records."""
TOTAL_KEYS = ("total", "total_count", "totalCount")
CURSOR_KEYS = ("next_cursor", "nextCursor", "cursor")

_KEYS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Page:
    """One page as served: `number` counts from 1 in the order of fetching, `body` is byte-exact (decompressed)."""

    number: int
    body: bytes
    records: int
    total: int | None = None
    """Records in the whole week as this page tells it; None where it does not."""
    next_cursor: str | None = None
    """The API's own name of the next page (cursor or link); None at the end, and for numbered pages."""

    @property
    def digest(self) -> str:
        """Identifies the body, to notice a page that is served twice."""
        return hashlib.sha256(self.body).hexdigest()  # in hardware, as a rule, and so the fastest


_records = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_page(number: int, body: bytes, *, header_total: str | None = None, next_link: str | None = None) -> Page:
    """Recognise a body: a list of records, or an object with them under one of RECORD_KEYS.

    Raises ApiMalformedError where it is no JSON, and ApiResponseError, naming the keys found, where it is JSON without
    records: an unknown shape is never taken for "no events".
    """
    try:
        opening = body.lstrip()[:1]
        if opening == b"[":
            return Page(number, body, len(_records.decode(body)), _total(header_total), next_link)
        if opening != b"{":
            raise ApiResponseError(f"Page {number} is neither a list nor an object: it begins with {body[:40]!r}.")
        fields = _fields.decode(body)
        key = next((key for key in RECORD_KEYS if key in fields), None)
        if key is None:
            found = ", ".join(sorted(fields)[:_KEYS_SHOWN]) or "none"
            raise ApiResponseError(f"Page {number} has none of the keys {', '.join(RECORD_KEYS)}; found: {found}.")
        if bytes(fields[key]).lstrip()[:1] != b"[":
            raise ApiResponseError(f"Page {number} has {key!r}, but no list in it.")
        records = len(_records.decode(fields[key]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiMalformedError(f"Page {number} is no valid JSON: {error}.") from error
    total = next((_total(fields[key]) for key in TOTAL_KEYS if key in fields), None)
    cursor = next((_text(fields[key]) for key in CURSOR_KEYS if key in fields), None)
    return Page(number, body, records, total if total is not None else _total(header_total), next_link or cursor)


def _total(value: msgspec.Raw | str | None) -> int | None:
    if value is None:
        return None
    try:
        total = msgspec.json.decode(value, type=int, strict=False)
    except msgspec.DecodeError:
        return None  # a total that is no number tells nothing; the other stop conditions decide
    return total if total >= 0 else None


def _text(value: msgspec.Raw) -> str | None:
    decoded = msgspec.json.decode(value)
    return str(decoded) if isinstance(decoded, str | int) and decoded != "" else None

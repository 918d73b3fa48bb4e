"""What a page says: how many records it holds, and what it tells about the pages that follow. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import msgspec

from libs.common.events.pages import BrokenPageError, PageError, survey_page
from services.extractor.errors import ApiMalformedError, ApiResponseError

TOTAL_KEYS = ("total", "total_count", "totalCount")
CURSOR_KEYS = ("next_cursor", "nextCursor", "cursor")

_SHOWN_BYTES = 40


@dataclass(frozen=True)  # without slots: the digest is kept beside the fields
class Page:
    """One page as served: `number` counts from 1 in the order of fetching, `body` is byte-exact (decompressed)."""

    number: int
    body: bytes
    records: int
    total: int | None = None
    """Records in the whole week as this page tells it; None where it does not."""
    next_cursor: str | None = None
    """The API's own name of the next page (cursor or link); None at the end, and for numbered pages."""

    @cached_property
    def digest(self) -> str:
        """Identifies the body, to notice a page that is served twice."""
        return hashlib.sha256(self.body).hexdigest()  # in hardware, as a rule, and so the fastest


def read_page(
    number: int, body: bytes, *, header_total: str | None = None, next_link: str | None = None, by_link: bool = False
) -> Page:
    """Recognise a body: a list of records, or an object with them under one of RECORD_KEYS.

    A record may be as bad as it likes, as long as it is clear where it ends: judging it is the validator's. The next
    page is `next_link` where the API names it `by_link`, and otherwise what the body says. Raises ApiMalformedError
    where that is no JSON, and ApiResponseError, naming the keys found, where it is JSON without records: an unknown
    shape is never taken for "no events".
    """
    try:
        records, beside = survey_page(body)
    except BrokenPageError as error:
        raise ApiMalformedError(f"Page {number} begins with {body[:_SHOWN_BYTES]!r}: {error}") from error
    except PageError as error:
        raise ApiResponseError(f"Page {number} begins with {body[:_SHOWN_BYTES]!r}: {error}") from error
    told = next((_total(beside[key]) for key in TOTAL_KEYS if key in beside), None)
    return Page(
        number,
        body,
        records,
        told if told is not None else _total(header_total),
        next_link if by_link else next((_cursor(number, beside[key]) for key in CURSOR_KEYS if key in beside), None),
    )


def _total(value: bytes | str | None) -> int | None:
    if value is None:
        return None
    try:
        total = msgspec.json.decode(value, type=int, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # a total that is no number tells nothing; the other stop conditions decide
    return total if total >= 0 else None


def _cursor(number: int, value: bytes) -> str | None:
    """The cursor; None where there is no next page. What is neither is an error, because to end here loses events."""
    try:
        cursor = msgspec.json.decode(value, type=str | int | None)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiResponseError(f"Page {number} names the next page by {value[:_SHOWN_BYTES]!r}.") from error
    return None if cursor is None or cursor == "" else str(cursor)

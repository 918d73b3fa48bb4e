"""What a client asks for: the query and the key of one request, checked."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from libs.emulators.events_api.pages import Pagination, decode_cursor
from libs.emulators.events_api.span import Span

DEFAULT_PAGE_SIZE = 1_000


class RequestError(Exception):
    """A request that is refused; ``status`` and ``code`` tell the client why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class PageRequest:
    """The records [first, first + size) of a span. ``number`` counts pages from 1, whatever the pagination."""

    span: Span
    first: int
    size: int

    @property
    def number(self) -> int:
        """Return the page number, from 1."""
        return self.first // self.size + 1


def parse_page_request(query: Mapping[str, str], *, pagination: Pagination, max_page_size: int) -> PageRequest:
    """Read a page request; a page size above the maximum is cut to it, as real APIs do.

    Raises RequestError (400) that names the parameter at fault.
    """
    size = min(_positive(query, "page_size", DEFAULT_PAGE_SIZE), max_page_size)
    for name in ("start_date", "end_date"):
        if name not in query:
            raise RequestError(400, "missing_parameter", f"the query must have {name}=YYYY-MM-DD")
    try:
        span = Span.parse(query["start_date"], query["end_date"])
        if pagination == "cursor":
            cursor = query.get("cursor", "")
            return PageRequest(span, decode_cursor(span, cursor) if cursor else 0, size)
    except ValueError as error:
        raise RequestError(400, "bad_parameter", str(error)) from error
    return PageRequest(span, (_positive(query, "page", 1) - 1) * size, size)


def check_key(headers: Mapping[str, str], *, header: str, key: str | None) -> None:
    """Check the API key, sent as ``Bearer KEY``, or bare in a header other than Authorization.

    Raises RequestError: 401 when no key was sent, 403 when it is another one. The message never repeats a key.
    """
    if key is None:
        return
    sent = headers.get(header, "").strip()
    if not sent:
        raise RequestError(401, "missing_key", f"send the API key as '{header}: Bearer KEY'")
    scheme, _, token = sent.partition(" ")
    if scheme.lower() == "bearer" and token:
        sent = token.strip()
    elif header.lower() == "authorization":
        raise RequestError(401, "wrong_scheme", f"send the API key as '{header}: Bearer KEY'")
    if not hmac.compare_digest(sent.encode(), key.encode()):
        raise RequestError(403, "wrong_key", "the API key is not valid for this API")


def _positive(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) >= 1):
        raise RequestError(400, "bad_parameter", f"{name} must be a whole number from 1, got {text!r}")
    return int(text)

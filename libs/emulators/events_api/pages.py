"""The shape of a page: what surrounds its records, and how it names the next one."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from libs.emulators.events_api.span import Span

Pagination = Literal["page", "cursor", "link"]
TotalPlace = Literal["none", "field", "header"]
LIST_BODY = "list"


@dataclass(frozen=True)
class PageShape:
    """How pages look. ``body`` is ``list``, or the key of an object that holds the records under it.

    Any key is accepted, so that a client can also be shown one that it does not know. Raises ValueError for a total
    or a cursor that the body has no place for.
    """

    body: str = LIST_BODY
    total: TotalPlace = "none"
    pagination: Pagination = "page"

    def __post_init__(self) -> None:
        if self.body == LIST_BODY and self.total == "field":
            raise ValueError("a list body has no place for a total field; use --total header, or an object body")
        if self.body == LIST_BODY and self.pagination == "cursor":
            raise ValueError("a list body has no place for next_cursor; use an object body such as --body data")


class CursorError(ValueError):
    """A cursor that this API did not hand out for these dates."""


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    span: str
    first: int


def encode_cursor(span: Span, first: int) -> str:
    """Return the opaque cursor of the page that begins with record ``first``."""
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(str(span), first))).decode().rstrip("=")


def decode_cursor(span: Span, cursor: str) -> int:
    """Return the first record a cursor points at; raises CursorError when it is not one of this span's cursors."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        decoded = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=_Cursor)
    except (binascii.Error, ValueError) as error:  # msgspec's errors are ValueErrors
        raise CursorError(f"cursor {cursor!r} is not one that this API handed out") from error
    if decoded.span != str(span) or decoded.first < 0:
        raise CursorError(f"cursor {cursor!r} was handed out for {decoded.span}, not for {span}")
    return decoded.first


def render(shape: PageShape, records: Sequence[str], *, total: int, next_cursor: str | None) -> bytes:
    """Return the body of a page. ``total`` and ``next_cursor`` appear only where the shape has them."""
    listed = "[" + ",".join(records) + "]"
    if shape.body == LIST_BODY:
        return listed.encode()
    members = [f"{json.dumps(shape.body)}:{listed}"]
    if shape.total == "field":
        members.append(f'"total":{total}')
    if shape.pagination == "cursor":
        members.append(f'"next_cursor":{json.dumps(next_cursor)}')
    return ("{" + ",".join(members) + "}").encode()


def headers(shape: PageShape, *, total: int, next_url: str | None) -> Mapping[str, str]:
    """Return the headers that the shape puts beside a page."""
    sent: dict[str, str] = {}
    if shape.total == "header":
        sent["X-Total-Count"] = str(total)
    if shape.pagination == "link" and next_url is not None:
        sent["Link"] = f'<{next_url}>; rel="next"'
    return sent

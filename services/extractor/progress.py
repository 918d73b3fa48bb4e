"""How far an extraction has come, and when it is at the end. Pure; kept with every part for a restart to resume."""

from __future__ import annotations

from typing import Any

import msgspec

from services.extractor.errors import ApiResponseError
from services.extractor.pages import Page

MAX_REPEATS = 3
"""So many identical non-empty pages in a row mean that the API ignores what page it is asked for."""
MAX_ANOMALIES = 50
"""Kept in the stage's details; more of them are only counted."""


REMEMBERED_PAGES = 10_000
"""Among so many newest pages one that is served twice is noticed; some 2 MB."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What has been fetched so far."""

    next_page: int = 1
    next_cursor: str | None = None
    events: int = 0
    total: int | None = None
    """The newest total that the API reported."""
    full_page: int | None = None
    """Records in the first page: a later page with fewer is short. (The API may cap API_PAGE_SIZE.)"""
    last_digest: str = ""
    repeats: int = 0
    ended: bool = False
    anomalies: tuple[str, ...] = ()
    anomaly_count: int = 0

    def to_details(self) -> dict[str, Any]:
        """Plain data for the state table."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return] # a struct becomes a dict

    @classmethod
    def from_details(cls, details: dict[str, Any]) -> Progress:
        """The reverse of `to_details`."""
        return msgspec.convert(details, cls)


class Served:
    """What this extraction was served so far: the newest pages with records, and every cursor.

    A restart begins it anew from what `Progress` keeps; a loop of cursors is then noticed one round later.
    """

    def __init__(self, progress: Progress) -> None:
        self._numbers: dict[str, int] = {progress.last_digest: progress.next_page - 1} if progress.last_digest else {}
        self._cursors = {progress.next_cursor}

    def twin_of(self, page: Page) -> int | None:
        """The number of an earlier page with this one's content; the page counts as served from now on."""
        if not page.records:
            return None
        digest = page.digest
        twin = self._numbers.pop(digest, None)
        self._numbers[digest] = page.number
        if len(self._numbers) > REMEMBERED_PAGES:
            del self._numbers[next(iter(self._numbers))]
        return twin

    def names_anew(self, page: Page) -> bool:
        """Whether the page names a next one that none has named before, or none at all."""
        cursor = page.next_cursor
        known = cursor is not None and cursor in self._cursors
        self._cursors.add(cursor)
        return not known


def after(progress: Progress, page: Page, *, numbered: bool, served: Served) -> Progress:
    """Count a page in and decide whether it was the last.

    Numbered pages end when the reported total is reached, at an empty page, or, where no total is reported, at a page
    with fewer records than the first. (The first page's own size proves nothing: the API may cap API_PAGE_SIZE.) Named
    pages (cursor, link) end where no next one is named.

    Raises ApiResponseError when the API serves the same page or cursor over and over.
    """
    events = progress.events + page.records
    twin = served.twin_of(page)
    repeats = progress.repeats + 1 if twin is not None and twin == progress.next_page - 1 else 0
    if repeats + 1 >= MAX_REPEATS:
        raise ApiResponseError(
            f"The API served the same {page.records} records for {MAX_REPEATS} pages in a row, to page {page.number}: "
            "it seems to ignore which page it is asked for."
        )
    if not numbered and not served.names_anew(page):
        raise ApiResponseError(
            f"Page {page.number} names a next page that an earlier one has named: a round without end."
        )

    total = page.total if page.total is not None else progress.total
    full_page = progress.full_page if progress.full_page is not None else page.records
    found = []
    if twin is not None:
        found.append(f"page {page.number} has the same content as page {twin}")
    if progress.total is not None and page.total is not None and page.total != progress.total:
        found.append(f"page {page.number} reports a total of {page.total} where earlier pages said {progress.total}")

    if not numbered:
        ended = page.next_cursor is None
    elif page.records == 0:
        ended = True
    elif total is not None:
        ended = events >= total
    else:
        ended = page.records < full_page
    if ended and total is not None and events != total:
        found.append(f"the API reported {total} events and served {events}")
    return msgspec.structs.replace(
        progress,
        next_page=page.number + 1,
        next_cursor=page.next_cursor,
        events=events,
        total=total,
        full_page=full_page,
        last_digest=page.digest if page.records else progress.last_digest,
        repeats=repeats,
        ended=ended,
        anomalies=(progress.anomalies + tuple(found))[:MAX_ANOMALIES],
        anomaly_count=progress.anomaly_count + len(found),
    )


def last_page_expected(progress: Progress, page_size: int) -> int | None:
    """The highest page number worth asking for ahead of its turn; None where nothing is known."""
    if progress.total is None or not progress.full_page:
        return None
    size = min(page_size, progress.full_page)
    return progress.next_page - 1 + -(-(progress.total - progress.events) // size)

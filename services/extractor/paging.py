"""All pages of a week in order, fetched ahead of their turn where their numbers are known."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Protocol

from libs.common.week import Week
from services.extractor.pages import Page
from services.extractor.progress import Progress, Served, after, last_page_expected


class Source(Protocol):
    """Where pages come from."""

    async def numbered_page(self, week: Week, number: int) -> Page:
        """Page `number`, from 1."""

    async def named_page(self, week: Week, number: int, cursor: str | None) -> Page:
        """The page that `cursor` names."""


async def named_pages(source: Source, week: Week, progress: Progress) -> AsyncIterator[tuple[Page, Progress]]:
    """Pages by cursor or link: each names the next, so one at a time."""
    served = Served(progress)
    while not progress.ended:
        page = await source.named_page(week, progress.next_page, progress.next_cursor)
        progress = after(progress, page, numbered=False, served=served)
        yield page, progress


async def numbered_pages(
    source: Source, week: Week, progress: Progress, *, concurrency: int, page_size: int
) -> AsyncIterator[tuple[Page, Progress]]:
    """Pages by number: up to `concurrency` in flight, handed over in order.

    A page past the end that was asked for in vain is dropped, and its failure too: only a page whose turn comes may
    fail the extraction. Until the first page has told the total (or that there is none) nothing is asked for ahead.
    """
    flying: deque[asyncio.Task[Page]] = deque()
    ask, served = progress.next_page, Served(progress)
    try:
        while not progress.ended:
            ahead = concurrency if progress.full_page is not None else 1
            last = last_page_expected(progress, page_size)
            while len(flying) < ahead and (not flying or last is None or ask <= last):
                flying.append(asyncio.create_task(source.numbered_page(week, ask), name=f"page-{ask}"))
                ask += 1
            page = await flying.popleft()
            progress = after(progress, page, numbered=True, served=served)
            yield page, progress
    finally:
        for task in flying:
            task.cancel()
        for task in flying:
            with suppress(asyncio.CancelledError, Exception):
                await task

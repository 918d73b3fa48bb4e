"""One page over HTTP, with patience: rate limit, retries, time-outs, and every refusal under a name."""

from __future__ import annotations

import asyncio
import email.utils
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter
from yarl import URL

from libs.common.clock import Clock
from libs.common.week import Week
from services.extractor.errors import (
    ApiAuthError,
    ApiBusyError,
    ApiMalformedError,
    ApiResponseError,
    ApiTimeoutError,
    ApiUnreachableError,
)
from services.extractor.pages import Page, read_page
from services.extractor.rate_limit import RateLimit
from services.extractor.settings import ExtractorSettings

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
MAX_RETRY_AFTER_SEC = 120.0
"""A longer Retry-After is cut to this: the message's own delayed retry takes over from there."""
MAX_REDIRECTS = 5
_QUICK_BYTES = 1024 * 1024
"""A body up to this is read in a millisecond, sooner than a thread is found for it."""
_backoff = wait_exponential_jitter(multiplier=0.5, max=30, jitter=0.5)


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    header_total: str | None
    next_link: str | None


class ApiClient:
    """GETs pages of one API. Use as an async context manager; it owns its connections.

    Only GET is ever sent, so every request may be repeated. Certificates are verified. A redirect to another origin is
    refused, so that the key never leaves for a host that the operator did not name.
    """

    def __init__(self, settings: ExtractorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._rate = RateLimit(settings.api_rate_limit_per_sec, clock)
        self._events_url = URL(settings.api_base_url + settings.api_events_path)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers(),
            timeout=aiohttp.ClientTimeout(total=self._settings.api_timeout_sec),
            connector=aiohttp.TCPConnector(limit=self._settings.api_concurrency),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def numbered_page(self, week: Week, number: int) -> Page:
        """Page `number` (from 1) of the week. Past the end an API may answer 404, which is an empty page here."""
        url = self._week_url(week, page=str(number))
        return await self._page(url, number, missing_is_empty=number > 1)

    async def named_page(self, week: Week, number: int, cursor: str | None) -> Page:
        """The page that `cursor` names, the week's first without one. A cursor that is a link is followed as it is."""
        if cursor is not None and self._follows_links:
            url = self._follow(self._events_url, cursor, number)
        else:
            url = self._week_url(week, **({} if cursor is None else {"cursor": cursor}))
        return await self._page(url, number, missing_is_empty=False)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if self._settings.api_key is not None:
            key = self._settings.api_key.get_secret_value()
            name = self._settings.api_key_header
            headers[name] = f"Bearer {key}" if name.lower() == "authorization" else key
        return headers

    def _week_url(self, week: Week, **more: str) -> URL:
        return self._events_url.update_query(
            page_size=str(self._settings.api_page_size),
            start_date=week.start.isoformat(),
            end_date=week.end.isoformat(),
            **more,
        )

    async def _page(self, url: URL, number: int, *, missing_is_empty: bool) -> Page:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((ApiBusyError, ApiTimeoutError, ApiUnreachableError, ApiMalformedError)),
            stop=stop_after_attempt(self._settings.api_max_retries + 1),
            wait=_wait,
            sleep=self._clock.sleep,
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                await self._rate.turn()
                answer = await self._get(url, number, missing_is_empty=missing_is_empty)
                if len(answer.body) <= _QUICK_BYTES:
                    return self._read(number, answer)
                return await asyncio.to_thread(self._read, number, answer)
        raise AssertionError("tenacity ends by returning or raising")

    def _read(self, number: int, answer: _Answer) -> Page:
        return read_page(
            number,
            answer.body,
            header_total=answer.header_total,
            next_link=answer.next_link,
            by_link=self._follows_links,
        )

    async def _get(self, url: URL, number: int, *, missing_is_empty: bool) -> _Answer:
        """One request, redirects included; every vendor error leaves as one of ours."""
        if self._session is None:
            raise RuntimeError("the client is not open: use `async with`")
        try:
            for _ in range(MAX_REDIRECTS + 1):
                async with self._session.get(url, allow_redirects=False) as response:
                    if response.status in {301, 302, 303, 307, 308} and "Location" in response.headers:
                        url = self._follow(url, response.headers["Location"], number)
                        continue
                    if response.status == 404 and missing_is_empty:
                        return _Answer(b"[]", None, None)
                    await self._raise_for_status(response, number)
                    body = await self._body(response, number)
                    following = response.links.get("next") if self._follows_links else None
                    link = following.get("url") if following else None
                    return _Answer(body, response.headers.get("X-Total-Count"), None if link is None else str(link))
        except TimeoutError as error:
            raise ApiTimeoutError(
                f"Page {number} was not complete after {self._settings.api_timeout_sec:g} s ({_place(url)})."
            ) from error
        except aiohttp.ClientPayloadError as error:
            raise ApiMalformedError(f"Page {number} stopped in the middle ({_place(url)}).") from error
        except aiohttp.ClientSSLError as error:
            raise ApiUnreachableError(f"The certificate of {_place(url)} was not accepted: {error}.") from error
        except aiohttp.ClientError as error:
            raise ApiUnreachableError(f"{_place(url)} cannot be reached: {error or type(error).__name__}.") from error
        raise ApiResponseError(f"Page {number} redirects more than {MAX_REDIRECTS} times ({_place(url)}).")

    @property
    def _follows_links(self) -> bool:
        return self._settings.api_pagination == "link"

    async def _body(self, response: aiohttp.ClientResponse, number: int) -> bytes:
        limit = self._settings.api_max_body_bytes
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise ApiResponseError(
                    f"Page {number} is larger than API_MAX_BODY_BYTES ({limit:,}).",
                    next_step="Lower API_PAGE_SIZE, or raise API_MAX_BODY_BYTES if pages are meant to be so large.",
                )
        return b"".join(chunks)

    async def _raise_for_status(self, response: aiohttp.ClientResponse, number: int) -> None:
        status, place = response.status, _place(response.url)
        if status == 200:
            return
        if status in {401, 403}:
            raise ApiAuthError(f"{place} answered {status} to page {number}: the key is missing, wrong or not allowed.")
        if status in RETRIED_STATUSES:
            after = retry_after_sec(response.headers.get("Retry-After"), self._clock.now())
            raise ApiBusyError(f"{place} answered {status} to page {number}.", retry_after_sec=after)
        raise ApiResponseError(f"{place} answered {status} to page {number}.")

    def _follow(self, url: URL, reference: str, number: int) -> URL:
        """Where a link or a redirect of `url` leads; refused where the key must not go."""
        try:
            target = url.join(URL(reference, encoded=True))
            origin = target.origin()
        except ValueError as error:
            raise ApiResponseError(f"Page {number} leads to something that is no URL: {reference[:200]!r}.") from error
        if self._settings.api_key is not None and origin != self._events_url.origin():
            raise ApiResponseError(
                f"Page {number} leads to another host ({_place(target)}); the key is for {self._events_url.origin()}.",
                next_step="If that host is right, name it in API_BASE_URL.",
            )
        return target


def retry_after_sec(header: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header, in either form (RFC 9110 §10.2.3); None where it says nothing."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return min(float(header), MAX_RETRY_AFTER_SEC)
    try:
        at = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), MAX_RETRY_AFTER_SEC)


def _wait(state: RetryCallState) -> float:
    """What the API asked for, else exponential with jitter."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_sec if isinstance(error, ApiBusyError) else None
    return _backoff(state) if asked is None else asked


def _place(url: URL) -> str:
    """The URL for an error text: without its query, which may hold a cursor or key, and without credentials."""
    return str(url.with_query(None).with_user(None).with_fragment(None))

"""The HTTP side: routes, keys, faults and counts around a source of records."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
from aiohttp import web

from libs.emulators.events_api import draws, pages
from libs.emulators.events_api.faults import ERROR_STATUSES, FaultKind, FaultSettings
from libs.emulators.events_api.page_cache import PageCache
from libs.emulators.events_api.queries import PageRequest, RequestError, check_key, parse_page_request
from libs.emulators.events_api.rate_limit import TokenBucket
from libs.emulators.events_api.source import Source
from libs.emulators.events_api.span import Span
from libs.emulators.events_api.stats import Stats

log = logging.getLogger(__name__)

_PROXY_PAGE = b"<!doctype html><html><body><h1>We will be right back</h1></body></html>"


@dataclass(frozen=True)
class ServerOptions:
    """How the API behaves; ``api_key`` None means that no key is asked for."""

    shape: pages.PageShape = field(default_factory=pages.PageShape)
    api_key: str | None = field(default=None, repr=False)
    auth_header: str = "Authorization"
    events_path: str = "/events"
    max_page_size: int = 10_000
    latency_ms: int = 0
    jitter_ms: int = 0
    rate_limit_per_sec: float | None = None
    gzip: bool = False
    faults: FaultSettings = field(default_factory=FaultSettings)


class EventsApi:
    """The handlers of one server; all of its state is the fault settings and the counts."""

    def __init__(
        self,
        source: Source,
        options: ServerOptions,
        *,
        cache: PageCache | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._source = source
        self._options = options
        self._cache = cache
        self._now = now
        self._faults = options.faults
        self._attempts: Counter[tuple[Span, int]] = Counter()
        self._stats = Stats()
        limit = options.rate_limit_per_sec
        self._bucket = None if limit is None else TokenBucket(limit, clock=monotonic)

    def application(self) -> web.Application:
        """Return the aiohttp application; it can be run once."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get(self._options.events_path, self._events, allow_head=False),
                web.get("/_emulator/stats", self._get_stats),
                web.delete("/_emulator/stats", self._reset_stats),
                web.get("/_emulator/faults", self._get_faults),
                web.post("/_emulator/faults", self._set_faults),
            ]
        )
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _get_stats(self, _: web.Request) -> web.Response:
        return web.json_response(self._stats.snapshot())

    async def _reset_stats(self, _: web.Request) -> web.Response:
        self._stats.reset()
        return web.json_response(self._stats.snapshot())

    async def _get_faults(self, _: web.Request) -> web.Response:
        return web.json_response(msgspec.to_builtins(self._faults))

    async def _set_faults(self, request: web.Request) -> web.Response:
        try:
            self._faults = msgspec.json.decode(await request.read(), type=FaultSettings)
        except msgspec.DecodeError as error:
            return _refusal(400, "bad_faults", str(error))
        self._attempts.clear()  # scripts and draws count the attempts since they were set
        return await self._get_faults(request)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        with self._stats.in_flight():
            try:
                response = await self._answer(request)
            except RequestError as error:
                response = _refusal(error.status, error.code, str(error))
        self._stats.answered(response.status)
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        options = self._options
        check_key(request.headers, header=options.auth_header, key=options.api_key)
        page = parse_page_request(
            request.query, pagination=options.shape.pagination, max_page_size=options.max_page_size
        )
        self._stats.requested(page)
        if self._bucket is not None and not self._bucket.take():
            return self._retry_later(429, "rate_limited")
        self._attempts[page.span, page.number] += 1
        attempt = self._attempts[page.span, page.number]
        fault = self._faults.decide(page.span, page.number, attempt)
        if fault is not None:
            self._stats.faulted(fault)
        await asyncio.sleep(self._delay_sec(page, attempt, fault))
        return await self._play(request, page, fault)

    async def _play(self, request: web.Request, page: PageRequest, fault: FaultKind | None) -> web.StreamResponse:
        match fault:
            case None | "slow" | "repeat":
                response = self._page(request, page, first=self._first(page, repeat=fault == "repeat"))
                self._stats.served(page)
                return response
            case "truncate":
                response = self._page(request, page, first=page.first)
                assert isinstance(response.body, bytes)
                response.body = response.body[: len(response.body) * 2 // 3]
                return response
            case "disconnect":
                return await _cut_off(request, self._page(request, page, first=page.first))
            case "invalid_json":
                return web.Response(body=_PROXY_PAGE, content_type="text/html")
            case "redirect":
                location = self._faults.redirect_to.rstrip("/") + request.path_qs
                return web.Response(status=307, headers={"Location": location})
            case _:
                assert fault in ERROR_STATUSES
                return self._retry_later(int(fault), "injected_fault")

    def _page(self, request: web.Request, page: PageRequest, *, first: int) -> web.Response:
        shape = self._options.shape
        total = self._source.count(page.span)
        following = page.first + page.size
        more = following < total
        reported = self._faults.reported_total(total, page.number)

        def render() -> bytes:
            return pages.render(
                shape,
                self._source.records(page.span, first, first + page.size),
                total=reported,
                next_cursor=pages.encode_cursor(page.span, following) if more else None,
            )

        name = f"{page.span.start}_{page.span.end}_{page.first}_{first}_{page.size}_{reported}.json"
        body = render() if self._cache is None else self._cache.body(name, render)
        next_url = str(request.url.update_query(page=page.number + 1)) if more else None
        response = web.Response(
            body=body, content_type="application/json", headers=pages.headers(shape, total=reported, next_url=next_url)
        )
        if self._options.gzip:
            response.enable_compression()
        return response

    @staticmethod
    def _first(page: PageRequest, *, repeat: bool) -> int:
        return max(0, page.first - page.size) if repeat else page.first

    def _retry_later(self, status: int, code: str) -> web.Response:
        response = _refusal(status, code, f"try again in {self._faults.retry_after_sec} s")
        if status in {429, 503} and self._faults.retry_after != "none":
            response.headers["Retry-After"] = self._retry_after()
        return response

    def _retry_after(self) -> str:
        if self._faults.retry_after == "seconds":
            return str(self._faults.retry_after_sec)
        # HTTP dates have whole seconds: round up, so that a client that waits for the date does not come too early
        instant = self._now() + timedelta(seconds=self._faults.retry_after_sec, microseconds=999_999)
        return format_datetime(instant.replace(microsecond=0), usegmt=True)

    def _delay_sec(self, page: PageRequest, attempt: int, fault: FaultKind | None) -> float:
        delay_ms = self._options.latency_ms
        if self._options.jitter_ms:
            family = draws.key("jitter", self._faults.seed, page.span, page.number)
            delay_ms += draws.below(family, attempt, self._options.jitter_ms + 1)
        if fault == "slow":
            delay_ms += self._faults.slow_ms
        return delay_ms / 1_000


async def _cut_off(request: web.Request, page: web.Response) -> web.StreamResponse:
    """Announce the whole page, send half of it, and drop the connection."""
    assert isinstance(page.body, bytes)
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(page.body))})
    await response.prepare(request)
    await response.write(page.body[: len(page.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _refusal(status: int, code: str, message: str) -> web.Response:
    body = json.dumps({"error": {"code": code, "message": message}})
    return web.Response(status=status, text=body, content_type="application/json")

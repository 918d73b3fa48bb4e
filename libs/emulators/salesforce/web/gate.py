"""What happens to every call before and around its handler: counting, faults, session, daily limit, error bodies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from libs.emulators.salesforce.errors import ApiError, not_found
from libs.emulators.salesforce.faults import CallKind, DroppedConnection, HttpError, SlowResponse
from libs.emulators.salesforce.org import Org
from libs.emulators.salesforce.web.responses import ORG, error_response

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ConnectionCut(Exception):
    """The connection was closed on purpose; there is nobody to answer."""


def cut(request: web.Request) -> ConnectionCut:
    """Close the connection without an answer; raise what is returned."""
    if request.transport is not None:
        request.transport.abort()
    return ConnectionCut()


def guarded(call: CallKind, handler: Handler, *, session: bool = True) -> Handler:
    """Wrap the handler of one kind of call; ``session`` False for logins, which need none and count for no limit."""

    async def handle(request: web.Request) -> web.StreamResponse:
        org = request.app[ORG]
        org.calls[call] += 1
        log.debug("%s: %s %s", call, request.method, request.path)
        await _strike_before(org, request, call)
        if session:
            await _admit(org, request)
        response = await handler(request)
        if org.faults.take(DroppedConnection, call, when="after"):
            raise cut(request)
        return response

    return handle


async def _strike_before(org: Org, request: web.Request, call: CallKind) -> None:
    slow = org.faults.take(SlowResponse, call)
    if slow is not None:
        await asyncio.sleep(slow.seconds)
    if org.faults.take(DroppedConnection, call, when="before"):
        raise cut(request)
    error = org.faults.take(HttpError, call)
    if error is not None:
        raise ApiError(error.status, error.code, error.message, retry_after_sec=error.retry_after_sec)


async def _admit(org: Org, request: web.Request) -> None:
    ended = org.faults.session_ends()
    if ended is not None:
        await org.write(org.auth.end_sessions, refuse_with=ended.status)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    org.auth.check(token if scheme in ("Bearer", "OAuth") else "")
    org.usage.take_api_call()


@web.middleware
async def error_bodies(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every refusal into Salesforce's error body, and a defect into a 500 with the reason in the log."""
    try:
        response = await handler(request)
    except ApiError as error:
        response = error_response(error)
    except web.HTTPMethodNotAllowed as error:
        allowed = ",".join(sorted(error.allowed_methods))
        message = f"HTTP Method '{request.method}' not allowed. Allowed are {allowed}"
        response = error_response(ApiError(405, "METHOD_NOT_ALLOWED", message))
    except web.HTTPNotFound:
        response = error_response(not_found())
    except (ConnectionCut, ConnectionError):
        return web.Response(status=503)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        response = error_response(ApiError(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred in the emulator"))
    if request.path.startswith("/services/data") and not response.prepared:
        response.headers["Sforce-Limit-Info"] = request.app[ORG].usage.header()
    return response

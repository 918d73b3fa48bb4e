"""The HTTP side: authenticate, route, meet faults, and turn refusals into the service's error bodies."""

import logging
import uuid
from xml.sax.saxutils import escape

import msgspec
from aiohttp import web

from libs.emulators.datalake.account import Account
from libs.emulators.datalake.authentication import authenticate
from libs.emulators.datalake.call import Call, split_url_path
from libs.emulators.datalake.contents import PIECE_BYTES
from libs.emulators.datalake.errors import ServiceError, bad_request
from libs.emulators.datalake.faults import Fault, Faults
from libs.emulators.datalake.reads import CUT_AFTER
from libs.emulators.datalake.routes import Route, route_of

log = logging.getLogger("libs.emulators.datalake")


class Server:
    """Serves one account: every path below `/{account}`, besides `/health` and `/_emulator/faults`."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.faults = Faults()

    def application(self) -> web.Application:
        """The aiohttp application; bodies of any size are welcome, since they are streamed."""
        app = web.Application(client_max_size=0)
        app.router.add_get("/health", self._health)
        app.router.add_get("/_emulator/faults", self._show_faults)
        app.router.add_post("/_emulator/faults", self._add_fault)
        app.router.add_delete("/_emulator/faults", self._clear_faults)
        app.router.add_route("*", "/{tail:.*}", self._storage)
        app.on_response_prepare.append(_add_common_headers)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        containers = [container.name for container in self._account.namespace.containers()]
        return web.json_response({"status": "ok", "account": self._account.name, "containers": containers})

    async def _show_faults(self, request: web.Request) -> web.Response:
        return web.json_response(msgspec.to_builtins(self.faults.pending))

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            self.faults.add(msgspec.json.decode(await request.read(), type=Fault))
        except msgspec.MsgspecError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({}, status=201)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self.faults.clear()
        return web.Response(status=204)

    async def _storage(self, request: web.Request) -> web.StreamResponse:
        route: Route | None = None
        try:
            container, path = split_url_path(request.raw_path.partition("?")[0], self._account.name)
            route = route_of(request, container, path)
            authenticate(request, self._account.name, self._account.key)
            if route is None:
                raise bad_request("UnsupportedOperation", f"Not emulated: {request.method} {request.path_qs}.")
            call = Call(request, self._account, container, path, route.is_dfs)
            answer = await self._answer(call, route)
        except ServiceError as error:
            answer = _error_answer(request, error, is_dfs=route is not None and route.is_dfs)
        log.debug("%s %s %s -> %s", route and route.operation, request.method, request.path_qs, answer.status)
        return answer

    async def _answer(self, call: Call, route: Route) -> web.StreamResponse:
        fault = self.faults.take(route.operation, call.path)
        if fault is None:
            return await route.handler(call)
        log.info("fault %s for %s %s", fault.effect, route.operation, call.path)
        match fault.effect:
            case "error":
                retry_after = {} if fault.retry_after_sec is None else {"Retry-After": str(fault.retry_after_sec)}
                raise ServiceError(fault.status, fault.code, "A fault that was asked for.", retry_after)
            case "delay":
                await self.faults.delay(fault.seconds)
                return await route.handler(call)
            case "drop" if route.operation == "path.read":
                call.request[CUT_AFTER] = fault.after_bytes
                answer = await route.handler(call)
            case "drop":
                await _take_in(call.request, fault.after_bytes)
                answer = web.Response()
            case "lose_answer":
                answer = await route.handler(call)
        if call.request.transport is not None:
            call.request.transport.close()  # what was written goes out first
        return answer


async def _take_in(request: web.Request, limit: int) -> None:
    taken = 0
    async for piece in request.content.iter_chunked(PIECE_BYTES):
        taken += len(piece)
        if taken >= limit:
            return


async def _add_common_headers(request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers["Server"] = "data-lake-emulator"
    answer.headers["x-ms-request-id"] = str(uuid.uuid4())
    for name in ("x-ms-version", "x-ms-client-request-id"):
        if name in request.headers:
            answer.headers[name] = request.headers[name]


def _error_answer(request: web.Request, error: ServiceError, *, is_dfs: bool) -> web.Response:
    headers = {"x-ms-error-code": error.code, **error.headers}
    if request.method == "HEAD" or error.status == 304:
        return web.Response(status=error.status, headers=headers)
    if is_dfs:
        body = {"error": {"code": error.code, "message": error.message}}
        return web.json_response(body, status=error.status, headers=headers)
    return web.Response(
        status=error.status,
        headers=headers,
        content_type="application/xml",
        text='<?xml version="1.0" encoding="utf-8"?>'
        f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>",
    )

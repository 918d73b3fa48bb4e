"""The HTTP application."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from aiohttp import web
from aiohttp.typedefs import Handler

from ..emulator import Emulator
from .management import ManagementApi
from .operations import operations_routes

# How long a request that is under way may take when the emulator stops.
_SHUTDOWN_TIMEOUT_SEC = 1.0


async def start_admin(
    emulator: Emulator, commit: Callable[[], None], host: str, port: int, cleanup: AsyncExitStack
) -> int:
    """Serve HTTP until ``cleanup`` runs.

    Return the port. ``commit`` makes changes durable before they are confirmed.
    """

    @web.middleware
    async def commit_first(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        commit()
        return response

    application = web.Application(middlewares=[commit_first])
    application.add_routes(operations_routes(emulator))
    # Last, because it takes every other path: the names of entities are paths.
    application.router.add_route("*", "/{path:.*}", ManagementApi(emulator.namespace).handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT_SEC)
    await runner.setup()
    cleanup.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, port)
    await site.start()
    return int(runner.addresses[0][1])

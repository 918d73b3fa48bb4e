"""/livez, /readyz and /metrics of a service."""

from __future__ import annotations

from aiohttp import web

from libs.common.clock import Clock
from libs.common.metrics import CONTENT_TYPE, Metrics

DEAD_AFTER_SEC = 300.0
"""No successful receive call (nor a reason for none) for so long means that only a restart can help."""


class Health:
    """What the process knows about itself. Not ready until somebody says so for each reason named at the start."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_beat = clock.monotonic()
        self._faults = {"bus": "Not connected yet."}

    def beat(self) -> None:
        """The receive loop turned: a receive call succeeded, or there is a reason not to make one."""
        self._last_beat = self._clock.monotonic()

    def ready(self, what: str) -> None:
        """Take back what `not_ready` said."""
        self._faults.pop(what, None)

    def not_ready(self, what: str, why: str) -> None:
        """Say why the service does not take messages now."""
        self._faults[what] = why

    @property
    def faults(self) -> dict[str, str]:
        """Why it is not ready; empty when it is."""
        return dict(self._faults)

    @property
    def silent_sec(self) -> float:
        """Since the last beat."""
        return self._clock.monotonic() - self._last_beat


class HealthServer:
    """Answers on a port of its own from the start of the process to its end."""

    def __init__(self, health: Health, metrics: Metrics, *, host: str, port: int) -> None:
        self._health = health
        self._metrics = metrics
        self._host = host
        self._wanted_port = port
        self._runner: web.AppRunner | None = None
        self.port = port
        """The port it listens on, once started."""

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        app = web.Application()
        app.add_routes(
            [web.get("/livez", self._livez), web.get("/readyz", self._readyz), web.get("/metrics", self._metrics_page)]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._wanted_port).start()
        self.port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _request: web.Request) -> web.Response:
        silent = self._health.silent_sec
        alive = silent < DEAD_AFTER_SEC
        return web.json_response({"alive": alive, "silent_sec": round(silent, 1)}, status=200 if alive else 503)

    async def _readyz(self, _request: web.Request) -> web.Response:
        faults = self._health.faults
        return web.json_response({"ready": not faults, "faults": faults}, status=503 if faults else 200)

    async def _metrics_page(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

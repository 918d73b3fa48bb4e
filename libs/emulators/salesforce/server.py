"""Builds the org from its options and serves it until told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from libs.emulators.salesforce.auth import Authenticator, Credentials
from libs.emulators.salesforce.bulk.jobs import JobStore
from libs.emulators.salesforce.bulk.runner import JobRunner
from libs.emulators.salesforce.database import Database
from libs.emulators.salesforce.faults import Fault, FaultBoard
from libs.emulators.salesforce.limits import Usage
from libs.emulators.salesforce.org import Org
from libs.emulators.salesforce.schema import Schema
from libs.emulators.salesforce.soql.cursors import Cursors
from libs.emulators.salesforce.web.app import make_app

_CLOSE_TIMEOUT_SEC = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that the command line settles."""

    host: str
    port: int
    data: Path | None
    public_url: str
    schema: Schema
    credentials: Credentials
    token_ttl_sec: float
    job_delay_sec: float
    max_api_calls: int
    max_batches: int
    faults: list[Fault]


def build_org(options: Options, folder: Path) -> Org:
    """Open the org whose files lie in ``folder``."""
    uploads = folder / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    for leftover in uploads.glob("*.part"):
        leftover.unlink()
    database = Database(folder / "salesforce.sqlite", options.schema)
    return Org(
        schema=options.schema,
        database=database,
        jobs=JobStore(database, uploads),
        auth=Authenticator(options.credentials, database, token_ttl_sec=options.token_ttl_sec, clock=time.time),
        faults=FaultBoard(options.faults),
        usage=Usage(max_api_calls=options.max_api_calls, max_batches=options.max_batches),
        cursors=Cursors(database, options.schema),
    )


@asynccontextmanager
async def served(options: Options) -> AsyncIterator[str]:
    """The org while the context is open, where clients log in: the address. Raises OSError if it cannot listen."""
    async with AsyncExitStack() as stack:
        folder = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="salesforce-")))
        org = build_org(options, folder)
        stack.callback(org.close)
        runner = JobRunner(org, delay_sec=options.job_delay_sec)
        stack.push_async_callback(runner.stop)
        app = make_app(org, runner, public_url=options.public_url)
        web_runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_TIMEOUT_SEC)
        await web_runner.setup()
        stack.push_async_callback(web_runner.cleanup)
        site = web.TCPSite(web_runner, options.host, options.port)
        await site.start()
        runner.resume()
        host = "127.0.0.1" if options.host in ("0.0.0.0", "::") else options.host
        yield f"http://{host}:{web_runner.addresses[0][1]}"


async def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; prints the ready line on standard output when calls are accepted."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with served(options) as address:
        ready = {"ready": True, "port": urlsplit(address).port, "login_url": options.public_url or address}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()

"""Entry point: read the command line, build the source, serve until told to stop."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Sequence

from aiohttp import web

from libs.emulators.events_api import options, truth
from libs.emulators.events_api.files import open_source
from libs.emulators.events_api.page_cache import PageCache
from libs.emulators.events_api.server import EventsApi
from libs.emulators.events_api.source import FileError, GeneratedSource, Source

log = logging.getLogger("libs.emulators.events_api")

STOP_WITHIN_SEC = 2.0


class ListenError(Exception):
    """The address cannot be listened on; the message says which and why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["truth"]:
        return truth.main(arguments[1:])
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    given = options.parse(arguments)
    try:
        asyncio.run(_serve(given, _source(given)))
    except (FileError, ListenError) as error:
        log.error("%s", error)
        return 1
    return 0


def _source(given: options.Options) -> Source:
    if given.file is None:
        return GeneratedSource(given.generator)
    log.info("indexing %s", given.file)
    return open_source(given.file)


async def _serve(given: options.Options, source: Source) -> None:
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    cache = None if given.cache is None else PageCache(given.cache, (given.generator, given.server.shape))
    api = EventsApi(source, given.server, cache=cache)
    runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=STOP_WITHIN_SEC)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, given.host, given.port).start()
        except OSError as error:
            raise ListenError(f"cannot listen on {given.host}:{given.port}: {error.strerror}; try --port 0") from error
        host, port = runner.addresses[0][:2]
        ready = {"ready": True, "port": port, "base_url": f"http://{f'[{host}]' if ':' in host else host}:{port}"}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        log.info(
            "serving %s at %s", given.file or f"generated weeks of {given.generator.events} events", ready["base_url"]
        )
        await stop.wait()
    finally:
        await runner.cleanup()
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())

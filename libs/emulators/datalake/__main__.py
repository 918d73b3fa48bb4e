"""Entry point: read the command line, open the account, serve until told to stop."""

import argparse
import asyncio
import base64
import binascii
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from aiohttp import web

from libs.emulators.datalake.account import DEFAULT_ACCOUNT, DEFAULT_KEY, Account
from libs.emulators.datalake.containers import check_container_name
from libs.emulators.datalake.errors import ServiceError
from libs.emulators.datalake.server import Server

log = logging.getLogger("libs.emulators.datalake")

STOP_WITHIN_SEC = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    given = _parse(argv)
    level = logging.DEBUG if given.verbose else logging.INFO
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with ExitStack() as stack:
        data = given.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datalake-emulator-")))
        account = Account(data, name=given.account, key=given.key)
        stack.callback(account.close)
        for container in given.container:
            account.ensure_container(container)
        asyncio.run(_serve(given, account))
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m libs.emulators.datalake", description="A local ADLS Gen2 account.")
    parser.add_argument("--port", type=int, required=True, help="TCP port; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="directory that keeps the state (default: a temporary one)")
    parser.add_argument("--account", default=DEFAULT_ACCOUNT, help="name of the account (default: %(default)s)")
    parser.add_argument(
        "--key", type=_key, default=DEFAULT_KEY, help="account key in base64 (default: a well-known one)"
    )
    parser.add_argument(
        "--container", type=_container, action="append", default=[], help="make it at start; repeatable"
    )
    parser.add_argument("--verbose", action="store_true", help="log every request")
    return parser.parse_args(argv)


def _key(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise argparse.ArgumentTypeError("not base64") from error
    return text


def _container(text: str) -> str:
    try:
        check_container_name(text)
    except ServiceError as error:
        raise argparse.ArgumentTypeError(error.message) from error
    return text


async def _serve(given: argparse.Namespace, account: Account) -> None:
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    runner = web.AppRunner(Server(account).application(), access_log=None, shutdown_timeout=STOP_WITHIN_SEC)
    await runner.setup()
    try:
        await web.TCPSite(runner, given.host, given.port).start()
        host, port = runner.addresses[0][:2]
        ready = {"ready": True, "port": port, "connection_string": account.connection_string(host, port)}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        log.info("serving account %s on %s port %s", account.name, host, port)
        await stop.wait()
    finally:
        await runner.cleanup()
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())

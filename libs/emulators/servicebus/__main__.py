"""``python -m libs.emulators.servicebus``: run the emulator until SIGTERM or SIGINT."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import msgspec

from .server import DEFAULT_TOPOLOGY, Options, Ready, serve
from .storage import StorageError
from .topology import TopologyError, load_topology


def main() -> int:
    """Run; return the exit status: 0 after a signal, 1 when the emulator cannot start or go on."""
    arguments = parser().parse_args()
    logging.basicConfig(
        stream=sys.stderr, level=arguments.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        asyncio.run(_run(arguments))
    except (TopologyError, StorageError, OSError) as error:
        sys.stderr.write(f"servicebus emulator: {error}\n")
        return 1
    return 0


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    options = Options(
        host=arguments.host,
        port=arguments.port,
        admin_port=arguments.admin_port,
        topology=load_topology(arguments.topology),
        data_dir=arguments.data,
    )
    await serve(options, stop, _announce)


def _announce(ready: Ready) -> None:
    sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
    sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog="python -m libs.emulators.servicebus", description="A local Azure Service Bus."
    )
    result.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    result.add_argument("--port", type=int, default=5672, help="AMQP port, 0 for a free one (default %(default)s)")
    result.add_argument("--admin-port", type=int, default=0, help="HTTP port, 0 for a free one (default %(default)s)")
    result.add_argument("--data", type=Path, metavar="DIR", help="keep messages in this directory (default: in memory)")
    result.add_argument(
        "--topology",
        type=Path,
        metavar="FILE",
        default=DEFAULT_TOPOLOGY,
        help="entities to create (default %(default)s)",
    )
    result.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return result


if __name__ == "__main__":
    sys.exit(main())

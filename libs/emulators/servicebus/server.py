"""The emulator as a whole: what it is made of, how it starts, and how it stops."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .admin.app import start_admin
from .amqp.connection import Connection
from .broker.namespace import Namespace
from .broker.scheduler import LoopScheduler
from .emulator import Emulator
from .nodes.router import NamespaceRouter
from .storage import SqliteJournal, StorageError
from .topology import Topology, apply_topology

DEFAULT_TOPOLOGY = Path(__file__).parents[3] / "deploy" / "servicebus" / "topology.json"
DATABASE_NAME = "servicebus.sqlite"
_CLOSE_TIMEOUT_SEC = 1.0


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The line that the emulator prints when clients may come."""

    ready: bool = True
    port: int
    admin_port: int
    connection_string: str


@dataclass(frozen=True)
class Options:
    """How to run it. A port of 0 takes a free one; without ``data_dir`` messages live as long as the process."""

    host: str
    port: int
    admin_port: int
    topology: Topology
    data_dir: Path | None = None


async def serve(options: Options, stop: asyncio.Event, announce: Callable[[Ready], None]) -> None:
    """Run until ``stop`` is set; call ``announce`` when clients may come.

    Raises TopologyError for entities that cannot be had, StorageError when the data directory cannot be used, now or
    later, and OSError when a port is taken.
    """
    stopped = asyncio.ensure_future(stop.wait())
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as cleanup:
        journal = _open_journal(options.data_dir, failed)
        commit: Callable[[], None] = journal.commit if journal is not None else _nothing_to_commit
        namespace = Namespace(LoopScheduler(), journal)
        if journal is not None:
            cleanup.callback(journal.close)
            journal.restore(namespace)
        apply_topology(options.topology, namespace)
        emulator = Emulator(namespace)
        router = NamespaceRouter(namespace)
        listener = await asyncio.get_running_loop().create_server(
            lambda: Connection(router, emulator.connections, commit), options.host, options.port
        )
        cleanup.push_async_callback(_stop_listening, listener, emulator)
        admin_port = await start_admin(emulator, commit, options.host, options.admin_port, cleanup)
        port = listener.sockets[0].getsockname()[1]
        announce(Ready(port=port, admin_port=admin_port, connection_string=_connection_string(options.host, port)))
        await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if failed.done():
            failed.result()


def _open_journal(data_dir: Path | None, failed: "asyncio.Future[None]") -> SqliteJournal | None:
    def fail(error: StorageError) -> None:
        if not failed.done():
            failed.set_exception(error)

    return None if data_dir is None else SqliteJournal(data_dir / DATABASE_NAME, fail)


def _nothing_to_commit() -> None:
    """Stand in for a journal's commit."""


async def _stop_listening(listener: asyncio.Server, emulator: Emulator) -> None:
    listener.close()
    connections = list(emulator.connections)
    for connection in connections:
        connection.close()
    if connections:
        await asyncio.wait([connection.closed for connection in connections], timeout=_CLOSE_TIMEOUT_SEC)
    emulator.drop_connections()


def _connection_string(host: str, port: int) -> str:
    reachable = "localhost" if host in ("0.0.0.0", "127.0.0.1", "::", "") else host
    return (
        f"Endpoint=sb://{reachable}:{port};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=emulator;"
        "UseDevelopmentEmulator=true;"
    )

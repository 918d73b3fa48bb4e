"""A disk that fails: the emulator stops rather than confirm what it cannot keep."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusError

from libs.emulators.servicebus.server import Options, Ready, serve
from libs.emulators.servicebus.storage import SqliteJournal, StorageError
from libs.emulators.servicebus.topology import load_topology

if TYPE_CHECKING:
    from pathlib import Path

# The SDK does not close the socket of a connection that was cut; here it is collected with the test that cut it.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collect_sockets"),
]


async def test_a_failing_disk_ends_the_emulator_and_the_send_is_not_confirmed(
    own_emulator: object, topology_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    options = Options(host="127.0.0.1", port=0, admin_port=0, topology=load_topology(topology_file), data_dir=tmp_path)
    serving = asyncio.create_task(serve(options, asyncio.Event(), ready.set_result))
    connection_string = (await asyncio.wait_for(ready, 10)).connection_string

    async with (
        ServiceBusClient.from_connection_string(connection_string, retry_total=0) as client,
        client.get_queue_sender("conformance.settlement") as sender,
    ):
        monkeypatch.setattr(SqliteJournal, "insert_message", _full)
        with pytest.raises(ServiceBusError):
            await sender.send_messages(ServiceBusMessage(b"x"))

    with pytest.raises(StorageError, match="disk is full"):
        await serving


def _full(journal: SqliteJournal, *_: object) -> None:
    journal._fail(sqlite3.OperationalError("database or disk is full"))

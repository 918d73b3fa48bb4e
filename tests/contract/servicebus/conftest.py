"""The bus that the conformance suite talks to, and what its tests share.

By default each test process starts the emulator. With SERVICEBUS_TEST_CONNECTION_STRING the suite runs against that
namespace or against Microsoft's emulator instead; it needs the entities of ``topology.json`` beside this file, and one
test process (``-n 0``). Tests of what only this emulator can do are skipped then.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

EXTERNAL_BUS = "SERVICEBUS_TEST_CONNECTION_STRING"
TOPOLOGY = Path(__file__).parent / "topology.json"
READY_TIMEOUT_SEC = 20.0

Found = TypeVar("Found")
Handler = TypeVar("Handler", ServiceBusSender, ServiceBusReceiver)
# ServiceBusReceivedMessage, whose every property may be None as far as the type checker knows
Received = Any


@dataclass
class EmulatorProcess:
    """The emulator as a child process: start it, kill it (as kill -9 does), start it again on the same ports."""

    arguments: list[str]
    ready: dict[str, Any] = field(default_factory=dict)
    _process: "subprocess.Popen[str] | None" = None

    def start(self) -> Self:
        ports = ["--port", str(self.ready.get("port", 0)), "--admin-port", str(self.ready.get("admin_port", 0))]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-m",
                "libs.emulators.servicebus",
                "--log-level",
                "WARNING",
                *ports,
                *self.arguments,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.ready = json.loads(self._process.stdout.readline())
        return self

    def kill(self) -> None:
        self._end(lambda process: process.kill())

    def stop(self) -> int:
        return self._end(lambda process: process.terminate())

    def _end(self, how: Callable[["subprocess.Popen[str]"], None]) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        how(process)
        status = process.wait(READY_TIMEOUT_SEC)
        assert process.stdout is not None
        process.stdout.close()
        return status

    @property
    def connection_string(self) -> str:
        return str(self.ready["connection_string"])

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.ready['admin_port']}"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.admin_url + path, timeout=5) as response:
            return json.load(response)

    def post(self, path: str) -> Any:
        request = urllib.request.Request(self.admin_url + path, method="POST")
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)


class Bus:
    """One client, whose senders and receivers stay open: opening one takes the SDK half a second."""

    def __init__(self, connection_string: str) -> None:
        self.client = ServiceBusClient.from_connection_string(connection_string)
        self._handlers: dict[str, Any] = {}

    async def sender(self, queue: str) -> ServiceBusSender:
        """Return the open sender to a queue."""
        return await self._open(f"to {queue}", lambda: self.client.get_queue_sender(queue))

    async def topic_sender(self, topic: str) -> ServiceBusSender:
        """Return the open sender to a topic."""
        return await self._open(f"to {topic}", lambda: self.client.get_topic_sender(topic))

    async def receiver(self, name: str, subscription: str | None = None) -> ServiceBusReceiver:
        """Return the open peek-lock receiver of a queue or subscription."""
        return await self._open(f"from {name}/{subscription}", lambda: self._receiver(name, subscription))

    async def dead_letters(self, name: str) -> ServiceBusReceiver:
        """Return the open receiver of a queue's dead letters."""
        return await self._open(
            f"dead {name}", lambda: self.client.get_queue_receiver(name, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        )

    def _receiver(self, name: str, subscription: str | None) -> ServiceBusReceiver:
        if subscription is None:
            return self.client.get_queue_receiver(name)
        return self.client.get_subscription_receiver(name, subscription)

    async def _open(self, key: str, make: Callable[[], Handler]) -> Handler:
        if key not in self._handlers:
            handler = make()
            await handler.__aenter__()
            self._handlers[key] = handler
        opened: Handler = self._handlers[key]
        return opened

    async def close(self) -> None:
        """Close everything at once."""
        await asyncio.gather(*(handler.close() for handler in self._handlers.values()))
        await self.client.close()


class Reading:
    """What tests do with receivers again and again."""

    async def take(self, receiver: ServiceBusReceiver, count: int, *, within_sec: float = 10) -> list[Received]:
        """Receive exactly ``count`` messages; fail when they do not come in time."""
        messages: list[Received] = []
        deadline = time.monotonic() + within_sec
        while len(messages) < count and time.monotonic() < deadline:
            messages += await receiver.receive_messages(count - len(messages), max_wait_time=1)
        assert len(messages) == count
        return messages

    async def take_one(self, receiver: ServiceBusReceiver, *, within_sec: float = 10) -> Received:
        """Receive one message."""
        (message,) = await self.take(receiver, 1, within_sec=within_sec)
        return message

    async def nothing(self, receiver: ServiceBusReceiver, *, wait_sec: float = 0.3) -> bool:
        """Tell whether nothing comes for a while."""
        return await receiver.receive_messages(1, max_wait_time=wait_sec) == []

    async def left(self, receiver: ServiceBusReceiver) -> list[Received]:
        """Return what is in the queue, in any state. (Without a number, peeking goes on where the last one ended.)"""
        return await receiver.peek_messages(10, sequence_number=1)

    def body(self, message: Received) -> bytes:
        """Return the bytes of a message."""
        return b"".join(message.body)

    async def until(self, look: Callable[[], Awaitable[Found]], *, within_sec: float = 15) -> Found:
        """Return what ``look`` finds, looking again until it is something."""
        deadline = time.monotonic() + within_sec
        while not (found := await look()):
            assert time.monotonic() < deadline, "it did not happen in time"
            await asyncio.sleep(0.05)
        return found


@pytest.fixture(scope="session")
def own_emulator() -> Iterator[EmulatorProcess]:
    """The emulator that this test process started; skips the test when the suite runs against another bus."""
    if os.environ.get(EXTERNAL_BUS):
        pytest.skip(f"needs an emulator of its own; {EXTERNAL_BUS} names another bus")
    emulator = EmulatorProcess(["--topology", str(TOPOLOGY)]).start()
    yield emulator
    emulator.stop()


@pytest.fixture(scope="session")
def topology_file() -> Path:
    """The entities that the suite needs."""
    return TOPOLOGY


@pytest.fixture(scope="session")
def connection_string(request: pytest.FixtureRequest) -> str:
    """The bus under test."""
    external = os.environ.get(EXTERNAL_BUS)
    return external or request.getfixturevalue("own_emulator").connection_string


@pytest.fixture
def start_emulator() -> Iterator[Callable[..., EmulatorProcess]]:
    """Start emulators with arguments of the test's choice; they end with the test."""
    if os.environ.get(EXTERNAL_BUS):
        pytest.skip(f"starts and kills emulators; {EXTERNAL_BUS} names another bus")
    started: list[EmulatorProcess] = []

    def start(*arguments: str) -> EmulatorProcess:
        started.append(EmulatorProcess([*arguments]).start())
        return started[-1]

    yield start
    for emulator in started:
        emulator.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(connection_string: str) -> AsyncIterator[Bus]:
    """A client of the bus under test, shared by a module's tests."""
    bus = Bus(connection_string)
    yield bus
    await bus.close()


@pytest.fixture(scope="session")
def reading() -> Reading:
    """Helpers for receivers."""
    return Reading()


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Make message ids that no earlier run used."""
    return lambda: os.urandom(8).hex()


@pytest.fixture
def in_seconds() -> Callable[[float], datetime]:
    """Make times that many seconds from now, in whole milliseconds as the wire has them."""

    def make(seconds: float) -> datetime:
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        return due.replace(microsecond=due.microsecond // 1000 * 1000)

    return make


@pytest.fixture
def collect_sockets() -> Iterator[None]:
    """Free what the SDK leaves open when a connection is cut, while the test's own warning filters hold."""
    yield
    gc.collect()

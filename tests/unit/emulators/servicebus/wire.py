"""A client of the AMQP server that speaks in frames, over a wire that only writes down."""

import asyncio
from collections.abc import Callable
from typing import Any

from libs.emulators.servicebus.amqp import performatives as p
from libs.emulators.servicebus.amqp.connection import Connection
from libs.emulators.servicebus.amqp.encoder import compound, described, string
from libs.emulators.servicebus.amqp.frames import (
    AMQP_HEADER,
    FrameBuffer,
    encode_frame,
)
from libs.emulators.servicebus.amqp.types import Encoded
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.nodes.router import NamespaceRouter


class Wire(asyncio.Transport):
    """Where the connection writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.aborted = False
        self.something_was_written = asyncio.Event()

    def write(self, data: Any) -> None:
        self.written += data
        self.something_was_written.set()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Client:
    """The other end: sends performatives, reads the answers."""

    def __init__(self, namespace: Namespace, before_flush: Callable[[], None] = lambda: None) -> None:
        self.wire = Wire()
        self.connections: set[Connection] = set()
        self.connection = Connection(NamespaceRouter(namespace), self.connections, before_flush)
        self.connection.connection_made(self.wire)
        self._received = FrameBuffer()

    async def say(self, *octets: bytes) -> bytes:
        """Send octets and return what is answered at once."""
        self.wire.written = b""
        for each in octets:
            self.connection.data_received(each)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.wire.written

    async def send(self, *performatives: p.Performative, payload: bytes = b"") -> list[tuple[Any, bytes]]:
        """Send frames on channel 1, the last one with a payload; return the answers and their payloads."""
        frames = [encode_frame(1, each) for each in performatives[:-1]]
        return self.read(await self.say(*frames, encode_frame(1, performatives[-1], payload)))

    def read(self, octets: bytes) -> list[tuple[Any, bytes]]:
        self._received.feed(octets)
        answers = []
        while (frame := self._received.take_frame()) is not None:
            performative, end = p.decode_performative(frame.body)
            answers.append((performative, frame.body[end:]))
        return answers

    async def open(self, *, max_frame_size: int = 65_536) -> None:
        """Open the connection and a session."""
        await self.say(AMQP_HEADER)
        await self.send(p.Open("test", "host", max_frame_size), p.Begin(None, 0, 1_000, 1_000))

    async def attach(self, handle: int, address: str, *, receives: bool, settled: bool = False) -> list[Any]:
        """Attach a link; return the answers."""
        source = terminus(p.SOURCE, address if receives else "client")
        target = terminus(p.TARGET, "client" if receives else address)
        attach = p.Attach(f"link-{handle}", handle, receives, int(settled), 0, source, target, None, None, 0)
        return [performative for performative, _ in await self.send(attach)]


def terminus(descriptor: int, address: str) -> Encoded:
    return Encoded(described(descriptor, compound(0xC0, [string(address)])))


def flow_frame(
    handle: int, credit: int, *, window: int = 1_000, delivery_count: int = 0, drain: bool = False
) -> p.Flow:
    return p.Flow(0, window, 0, 1_000, handle, delivery_count, credit, None, drain)

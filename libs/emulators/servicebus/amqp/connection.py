"""Connections: protocol headers, SASL, and frames to their sessions (parts 2.4 and 5.3 of the specification)."""

import asyncio
import logging
from collections.abc import Callable
from enum import Enum, auto

from . import performatives as p
from .errors import CONNECTION_FORCED, INTERNAL_ERROR, AmqpError, FramingError
from .frames import AMQP_HEADER, HEARTBEAT, MAX_FRAME_SIZE, SASL_FRAME, SASL_HEADER, Frame, FrameBuffer, encode_frame
from .session import Router, Session

log = logging.getLogger(__name__)

CONTAINER_ID = "servicebus-emulator"
# As Azure does. The SDK sends heartbeats only while its event loop is in use, so silence is not punished here.
IDLE_TIME_OUT_MS = 240_000
_CHANNEL_MAX = 4999
_SMALLEST_FRAME_SIZE = 512
_MECHANISMS = ("MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL")


class _Expecting(Enum):
    HEADER = auto()
    FRAMES = auto()


class Connection(asyncio.Protocol):
    """One client.

    ``before_flush`` runs before anything is written to the network, once per turn of the event loop: what it makes
    durable is durable before the client hears of it. When it raises, nothing is written and the connection is
    aborted.
    """

    def __init__(self, router: Router, connections: set["Connection"], before_flush: Callable[[], None]) -> None:
        self._router = router
        self._connections = connections
        self._before_flush = before_flush
        self._received = FrameBuffer()
        self._expecting = _Expecting.HEADER
        self._outgoing: list[bytes] = []
        self._flush_is_due = False
        self._sessions: dict[int, Session] = {}
        self._heartbeat: asyncio.TimerHandle | None = None
        self.remote_max_frame_size = _SMALLEST_FRAME_SIZE
        self.closed: asyncio.Future[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start; part of asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self.closed = self._loop.create_future()
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop; part of asyncio.Protocol."""
        self._connections.discard(self)
        self.closed.set_result(None)
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        for session in self._sessions.values():
            session.end()
        self._sessions.clear()

    def data_received(self, data: bytes) -> None:
        """Handle what arrived; part of asyncio.Protocol."""
        self._received.feed(data)
        try:
            while self._handle_next():
                pass
        except AmqpError as error:
            log.warning("closing a connection: %s", error)
            self.close(error.condition, error.description)
        except Exception:
            log.exception("closing a connection after an internal error")
            self.close(INTERNAL_ERROR, "The emulator failed; its log has the cause.")

    def write(self, frame: bytes) -> None:
        """Queue a frame; frames of one turn of the event loop leave together."""
        self._outgoing.append(frame)
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def close(self, condition: str = CONNECTION_FORCED, description: str = "The emulator is stopping.") -> None:
        """Say why and hang up."""
        self.write(encode_frame(0, p.Close(p.error(condition, description))))
        self._flush()
        self._transport.close()

    def drop(self) -> None:
        """Cut the connection without a word, as a network failure would."""
        self._transport.abort()

    def _flush(self) -> None:
        self._flush_is_due = False
        frames, self._outgoing = self._outgoing, []
        if not frames or self._transport.is_closing():
            return
        try:
            self._before_flush()
        except Exception:
            self._transport.abort()
            raise
        self._transport.write(b"".join(frames))

    def _handle_next(self) -> bool:
        if self._transport.is_closing():
            return False
        if self._expecting is _Expecting.HEADER:
            header = self._received.take_header()
            if header is not None:
                self._header(header)
            return header is not None
        frame = self._received.take_frame()
        if frame is not None and frame.body:
            self._frame(frame)
        return frame is not None

    def _header(self, header: bytes) -> None:
        if header == SASL_HEADER:
            mechanisms = p.SaslMechanisms(p.symbols(*_MECHANISMS))
            self.write(SASL_HEADER + encode_frame(0, mechanisms, kind=SASL_FRAME))
        elif header == AMQP_HEADER:
            self.write(AMQP_HEADER)
        else:
            log.warning("closing a connection that opened with %r: %s", header, _diagnosis(header))
            # The answer to an unknown protocol is the one that is spoken here (part 2.2).
            self.write(AMQP_HEADER)
            self._flush()
            self._transport.close()
        self._expecting = _Expecting.FRAMES

    def _frame(self, frame: Frame) -> None:
        performative, payload_start = p.decode_performative(frame.body)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "channel %d received %r and %d octets", frame.channel, performative, len(frame.body) - payload_start
            )
        match performative:
            case p.SaslInit():
                # Any credential is good: whoever reaches the port may use the emulator.
                self.write(encode_frame(0, p.SaslOutcome(0), kind=SASL_FRAME))
                self._expecting = _Expecting.HEADER
            case p.Open():
                self._open(performative)
            case p.Begin():
                self._sessions[frame.channel] = Session(self, frame.channel, performative, self._router)
            case p.End():
                session = self._sessions.pop(frame.channel, None)
                if session is not None:
                    session.end()
                    session.send(p.End())
            case p.Close():
                self.write(encode_frame(0, p.Close()))
                self._flush()
                self._transport.close()
            case _:
                # The SDK sends detach after end: frames of an ended session are ignored.
                session = self._sessions.get(frame.channel)
                if session is not None:
                    session.handle(performative, frame.body[payload_start:])

    def _open(self, client: p.Open) -> None:
        size = client.max_frame_size or 2**32 - 1
        if size < _SMALLEST_FRAME_SIZE:
            raise FramingError(f"max-frame-size {size} is below {_SMALLEST_FRAME_SIZE}, the least that AMQP allows")
        self.remote_max_frame_size = min(size, MAX_FRAME_SIZE)
        self.write(encode_frame(0, p.Open(CONTAINER_ID, None, MAX_FRAME_SIZE, _CHANNEL_MAX, IDLE_TIME_OUT_MS)))
        if client.idle_time_out:
            self._beat(client.idle_time_out / 2000)

    def _beat(self, interval_sec: float) -> None:
        self.write(HEARTBEAT)
        self._heartbeat = self._loop.call_later(interval_sec, self._beat, interval_sec)


def _diagnosis(header: bytes) -> str:
    if header[:1] == b"\x16":
        return "it speaks TLS; put UseDevelopmentEmulator=true (lower-case) into the connection string"
    if header[:4] in (b"GET ", b"PUT ", b"POST", b"DELE", b"HEAD"):
        return "it speaks HTTP; AMQP over WebSocket is not supported, and management has a port of its own"
    return "it does not speak AMQP 1.0"

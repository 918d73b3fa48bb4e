"""The AMQP server, frame by frame: what a client of any make can rely on."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from libs.emulators.servicebus.amqp import performatives as p
from libs.emulators.servicebus.amqp.connection import Connection
from libs.emulators.servicebus.amqp.encoder import compound, described, encode_value, string
from libs.emulators.servicebus.amqp.errors import DecodeError
from libs.emulators.servicebus.amqp.frames import (
    AMQP_HEADER,
    HEARTBEAT,
    MAX_FRAME_SIZE,
    SASL_FRAME,
    SASL_HEADER,
    FrameBuffer,
    encode_frame,
)
from libs.emulators.servicebus.amqp.types import Described, Encoded, Symbol
from libs.emulators.servicebus.broker.message import BATCH_FORMAT, DATA, Message, encode_section
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.broker.settings import MAX_MESSAGE_BYTES, QueueSettings
from libs.emulators.servicebus.nodes.router import NamespaceRouter

Make = Callable[..., Message]


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
        source = _terminus(p.SOURCE, address if receives else "client")
        target = _terminus(p.TARGET, "client" if receives else address)
        attach = p.Attach(f"link-{handle}", handle, receives, int(settled), 0, source, target, None, None, 0)
        return [performative for performative, _ in await self.send(attach)]


def _terminus(descriptor: int, address: str) -> Encoded:
    return Encoded(described(descriptor, compound(0xC0, [string(address)])))


def _flow(handle: int, credit: int, *, window: int = 1_000, delivery_count: int = 0, drain: bool = False) -> p.Flow:
    return p.Flow(0, window, 0, 1_000, handle, delivery_count, credit, None, drain)


@pytest.fixture(name="client")
async def opened_client(namespace: Namespace) -> Client:
    """A client with a session, and the queue q."""
    namespace.create_queue("q", QueueSettings())
    client = Client(namespace)
    await client.open()
    return client


async def test_the_handshake_offers_sasl_then_opens(namespace: Namespace) -> None:
    client = Client(namespace)

    offer = await client.say(SASL_HEADER)
    ((mechanisms, _),) = client.read(offer[8:])
    init = encode_frame(0, p.SaslInit("ANONYMOUS"), kind=SASL_FRAME)
    ((outcome, _),) = client.read(await client.say(init))
    header = await client.say(AMQP_HEADER)
    ((opened, _),) = await client.send(p.Open("test", "host", 65_536))

    assert offer[:8] == SASL_HEADER
    assert "ANONYMOUS" in mechanisms.sasl_server_mechanisms
    assert outcome.code == 0
    assert header == AMQP_HEADER
    assert (opened.max_frame_size, opened.idle_time_out) == (MAX_FRAME_SIZE, 240_000)


async def test_a_handshake_may_arrive_in_pieces(namespace: Namespace) -> None:
    client = Client(namespace)
    octets = SASL_HEADER + encode_frame(0, p.SaslInit("PLAIN"), kind=SASL_FRAME) + AMQP_HEADER + HEARTBEAT

    answer = await client.say(*(octets[n : n + 1] for n in range(len(octets))))

    assert answer.endswith(AMQP_HEADER)


@pytest.mark.parametrize(
    ("octets", "diagnosis"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", "put UseDevelopmentEmulator=true"),
        (b"GET /$servicebus/websocket", "AMQP over WebSocket is not supported"),
        (b"AMQP\x02\x01\x00\x00", "does not speak AMQP 1.0"),
    ],
)
async def test_another_protocol_is_answered_with_the_one_spoken_here_and_logged(
    namespace: Namespace, caplog: pytest.LogCaptureFixture, octets: bytes, diagnosis: str
) -> None:
    client = Client(namespace)

    answer = await client.say(octets)

    assert (answer, client.wire.closed) == (AMQP_HEADER, True)
    assert diagnosis in caplog.text


async def test_a_malformed_frame_closes_the_connection_with_the_reason(client: Client) -> None:
    answer = await client.say(b"\x00\x00\x00\x09\x02\x00\x00\x01\x40")

    ((closed, _),) = client.read(answer)
    assert p.fields_of(closed.error, p.ERROR, 3)[0] == "amqp:decode-error"
    assert client.wire.closed


async def test_a_frame_beyond_the_limit_closes_the_connection(client: Client) -> None:
    answer = await client.say((MAX_FRAME_SIZE + 1).to_bytes(4, "big") + b"\x02\x00\x00\x01")

    ((closed, _),) = client.read(answer)
    assert p.fields_of(closed.error, p.ERROR, 3)[0] == "amqp:connection:framing-error"


async def test_an_internal_failure_closes_the_connection_and_hides_the_cause(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(NamespaceRouter, "attach_incoming", lambda *_: 1 / 0)

    (closed,) = await client.attach(0, "q", receives=False)

    assert p.fields_of(closed.error, p.ERROR, 3)[0] == "amqp:internal-error"
    assert "division by zero" in caplog.text


async def test_nothing_is_written_before_it_is_durable(namespace: Namespace) -> None:
    written: list[bytes] = []
    client = Client(namespace, lambda: written.append(client.wire.written))

    await client.say(AMQP_HEADER)

    assert written == [b""]
    assert client.wire.written == AMQP_HEADER


async def test_what_cannot_be_made_durable_is_not_confirmed(namespace: Namespace) -> None:
    def fail() -> None:
        raise OSError("disk full")

    loop = asyncio.get_running_loop()
    errors: list[Any] = []
    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
    client = Client(namespace, fail)

    answer = await client.say(AMQP_HEADER)

    assert (answer, client.wire.aborted) == (b"", True)
    assert [str(error) for error in errors] == ["disk full"]


async def test_a_client_that_asks_for_heartbeats_gets_them(namespace: Namespace) -> None:
    client = Client(namespace)
    await client.say(AMQP_HEADER)
    answer = await client.say(encode_frame(0, p.Open("test", "host", 65_536, None, 20)))
    assert answer.endswith(HEARTBEAT)

    client.wire.written = b""
    client.wire.something_was_written.clear()
    async with asyncio.timeout(5):
        await client.wire.something_was_written.wait()
    assert client.wire.written == HEARTBEAT
    client.connection.connection_lost(None)


@pytest.mark.parametrize("address", ["q", "Q", "amqps://localhost:5672/q", "sb://localhost/q/"])
async def test_an_address_may_be_a_path_or_a_url_in_any_case(client: Client, address: str) -> None:
    attached, flow = await client.attach(0, address, receives=False)

    assert attached.role is True
    assert attached.max_message_size == MAX_MESSAGE_BYTES
    assert flow.link_credit > 0


async def test_a_refused_link_is_attached_without_ends_and_detached_with_the_reason(client: Client) -> None:
    attached, detached = await client.attach(0, "nowhere", receives=True)

    assert (attached.source, attached.target, attached.initial_delivery_count) == (None, None, 0)
    condition, description, _ = p.fields_of(detached.error, p.ERROR, 3)
    assert (detached.closed, condition) == (True, "amqp:not-found")
    assert "'nowhere' could not be found" in description


async def test_a_transaction_is_refused_by_name(client: Client) -> None:
    coordinator = Encoded(described(p.COORDINATOR, encode_value([Symbol("amqp:local-transactions")])))
    source = _terminus(p.SOURCE, "client")

    answers = await client.send(p.Attach("tx", 0, False, 0, 0, source, coordinator, None, None, 0))

    condition, description, _ = p.fields_of(answers[1][0].error, p.ERROR, 3)
    assert condition == "amqp:not-implemented"
    assert "Transactions are not supported" in description


async def test_a_message_in_fragments_is_put_together(client: Client, namespace: Namespace, message: Any) -> None:
    await client.attach(0, "q", receives=False)
    octets = message.octets("a")

    await client.send(p.Transfer(0, 0, b"t", 0, False, True), payload=octets[:5])
    await client.send(p.Transfer(0, more=True), payload=octets[5:9])
    ((disposition, _),) = await client.send(p.Transfer(0, more=False), payload=octets[9:])

    assert disposition.state.descriptor == p.ACCEPTED
    assert [each.message_id for each in namespace.origin("q").peek(1, 9)] == ["a"]


async def test_an_aborted_message_is_dropped(client: Client, namespace: Namespace, message: Any) -> None:
    await client.attach(0, "q", receives=False)
    octets = message.octets("a")

    await client.send(p.Transfer(0, 0, b"t", 0, False, True), payload=octets[:5])
    assert await client.send(p.Transfer(0, more=True, aborted=True)) == []
    await client.send(p.Transfer(0, 1, b"u", 0, False), payload=message.octets("b"))

    assert [each.message_id for each in namespace.origin("q").peek(1, 9)] == ["b"]


async def test_a_message_beyond_the_limit_is_refused_and_not_kept(
    client: Client, namespace: Namespace, message: Any
) -> None:
    await client.attach(0, "q", receives=False)
    part = bytes(60_000)

    for _ in range(5):
        await client.send(p.Transfer(0, 0, b"t", 0, False, True), payload=part)
    ((disposition, _),) = await client.send(p.Transfer(0, more=False), payload=part)

    error = p.fields_of(disposition.state, p.REJECTED, 1)[0]
    assert p.fields_of(error, p.ERROR, 3)[0] == "amqp:link:message-size-exceeded"
    assert namespace.origin("q").peek(1, 9) == []


async def test_a_batch_with_one_malformed_message_is_refused_whole(
    client: Client, namespace: Namespace, message: Any
) -> None:
    await client.attach(0, "q", receives=False)
    batch = encode_section(DATA, message.octets("a")) + encode_section(DATA, b"\x40")

    ((disposition, _),) = await client.send(p.Transfer(0, 0, b"t", BATCH_FORMAT, False), payload=batch)

    assert disposition.state.descriptor == p.REJECTED
    assert namespace.origin("q").peek(1, 9) == []


async def test_a_settled_message_is_not_answered(client: Client, namespace: Namespace, message: Any) -> None:
    await client.attach(0, "q", receives=False)

    assert await client.send(p.Transfer(0, 0, b"t", 0, True), payload=message.octets("a")) == []

    assert len(namespace.origin("q").peek(1, 9)) == 1


async def test_a_sender_gets_new_credit_before_it_runs_out(client: Client, message: Any) -> None:
    _, flow = await client.attach(0, "q", receives=False)
    flows = []

    for n in range(flow.link_credit):
        answers = await client.send(p.Transfer(0, n, b"t", 0, True), payload=message.octets())
        flows += [answer for answer, _ in answers]

    assert flows
    assert all(isinstance(each, p.Flow) and each.link_credit == flow.link_credit for each in flows)


async def test_a_large_message_leaves_in_frames_that_the_client_can_take(namespace: Namespace, message: Any) -> None:
    queue = namespace.create_queue("q", QueueSettings())
    queue.publish(message("a", large="x" * 5_000))
    client = Client(namespace)
    await client.open(max_frame_size=1_024)
    await client.attach(0, "q", receives=True)

    frames = await client.send(_flow(0, 1))

    assert len(frames) > 4
    assert [transfer.more for transfer, _ in frames] == [True] * (len(frames) - 1) + [False]
    whole = Message(b"".join(payload for _, payload in frames))
    assert whole.application_properties == {"large": "x" * 5_000}


async def test_transfers_wait_for_the_clients_window(client: Client, namespace: Namespace, message: Make) -> None:
    for _ in range(5):
        namespace.destination("q").publish(message())
    await client.attach(0, "q", receives=True)

    first = await client.send(_flow(0, 5, window=2))
    rest = await client.send(p.Flow(2, 10, 0, 1_000))

    assert [type(each) for each, _ in first] == [p.Transfer] * 2
    assert [each.delivery_id for each, _ in rest] == [2, 3, 4]


async def test_a_drain_uses_up_the_credit(client: Client, namespace: Namespace, message: Make) -> None:
    namespace.destination("q").publish(message())
    await client.attach(0, "q", receives=True)

    (transfer, _), (flow, _) = await client.send(_flow(0, 10, drain=True))

    assert isinstance(transfer, p.Transfer)
    assert (flow.delivery_count, flow.link_credit, flow.drain) == (10, 0, True)
    namespace.destination("q").publish(message())
    assert client.read(await client.say(HEARTBEAT)) == []


async def test_receive_and_delete_sends_settled_messages(client: Client, namespace: Namespace, message: Make) -> None:
    namespace.destination("q").publish(message())
    await client.attach(0, "q", receives=True, settled=True)

    ((transfer, _),) = await client.send(_flow(0, 1))

    assert transfer.settled is True
    assert namespace.origin("q").peek(1, 9) == []


async def receive(client: Client, namespace: Namespace, message: Make, count: int = 1) -> list[p.Transfer]:
    for _ in range(count):
        namespace.destination("q").publish(message("a"))
    await client.attach(0, "q", receives=True)
    return [transfer for transfer, _ in await client.send(_flow(0, count))]


async def test_each_delivery_of_a_range_is_settled_and_answered_on_its_own(
    client: Client, namespace: Namespace, message: Make
) -> None:
    await receive(client, namespace, message, 3)

    answers = await client.send(p.Disposition(True, 0, 2, False, p.ACCEPTED_OUTCOME))

    assert [(answer.first, answer.last, answer.settled) for answer, _ in answers] == [
        (0, 0, True),
        (1, 1, True),
        (2, 2, True),
    ]
    assert namespace.origin("q").peek(1, 9) == []


async def test_an_absurd_range_settles_what_there_is(client: Client, namespace: Namespace, message: Make) -> None:
    await receive(client, namespace, message)

    answers = await client.send(p.Disposition(True, 0, 2**32 - 1, False, p.ACCEPTED_OUTCOME))

    assert [answer.first for answer, _ in answers] == [0]


@pytest.mark.parametrize(
    ("outcome", "descriptor", "state"),
    [
        (p.RELEASED_OUTCOME, p.RELEASED, (0, 0)),
        (p.modified_outcome(undeliverable_here=False), p.MODIFIED, (1, 0)),
        (p.modified_outcome(undeliverable_here=True), p.MODIFIED, (0, 1)),
    ],
)
async def test_an_outcome_is_applied_and_echoed(
    client: Client,
    namespace: Namespace,
    message: Make,
    outcome: Encoded,
    descriptor: int,
    state: tuple[int, int],
) -> None:
    await receive(client, namespace, message)

    ((answer, _),) = await client.send(p.Disposition(True, 0, 0, False, outcome))

    (kept,) = namespace.origin("q").peek(1, 9)
    assert answer.state.descriptor == descriptor
    assert (kept.delivery_count, int(kept.state)) == state


async def test_a_rejection_with_an_error_of_the_clients_own_becomes_the_dead_letters_reason(
    client: Client, namespace: Namespace, message: Make
) -> None:
    await receive(client, namespace, message)

    ((answer, _),) = await client.send(p.Disposition(True, 0, 0, False, p.rejected_outcome("my:reason", "my words")))

    assert p.fields_of(answer.state, p.REJECTED, 1) == [None]
    (dead,) = namespace.origin("q/$deadletterqueue").peek(1, 9)
    assert dead.application_properties == {"DeadLetterReason": "my:reason", "DeadLetterErrorDescription": "my words"}


async def test_a_settlement_that_comes_too_late_is_rejected(
    client: Client, namespace: Namespace, message: Make
) -> None:
    await receive(client, namespace, message)
    namespace.origin("q").expire_locks()

    ((answer, _),) = await client.send(p.Disposition(True, 0, 0, False, p.ACCEPTED_OUTCOME))

    error = p.fields_of(answer.state, p.REJECTED, 1)[0]
    assert p.fields_of(error, p.ERROR, 3)[0] == "com.microsoft:message-lock-lost"


async def test_a_settlement_without_a_known_outcome_is_rejected(
    client: Client, namespace: Namespace, message: Make
) -> None:
    await receive(client, namespace, message)

    ((answer, _),) = await client.send(p.Disposition(True, 0, 0, False, None))

    assert answer.state.descriptor == p.REJECTED


async def test_the_outcome_of_a_closed_links_delivery_is_ignored(
    client: Client, namespace: Namespace, message: Make
) -> None:
    (transfer,) = await receive(client, namespace, message)

    ((detached, _),) = await client.send(p.Detach(0, True))
    assert await client.send(p.Disposition(True, 0, 0, False, p.ACCEPTED_OUTCOME)) == []

    assert detached.handle == transfer.handle
    assert namespace.origin("q").locked_count == 1


async def test_frames_after_the_end_of_a_session_are_ignored(client: Client) -> None:
    await client.attach(0, "q", receives=True)

    ((ended, _),) = await client.send(p.End())
    assert await client.send(p.Detach(0, True)) == []

    assert isinstance(ended, p.End)
    assert not client.wire.closed


async def test_a_lost_connection_takes_its_consumers_along(client: Client, namespace: Namespace) -> None:
    await client.attach(0, "q", receives=True)
    assert namespace.origin("q").consumer_count == 1

    client.connection.connection_lost(None)

    assert namespace.origin("q").consumer_count == 0
    assert client.connections == set()


async def test_a_receiver_of_a_deleted_queue_is_detached(client: Client, namespace: Namespace) -> None:
    await client.attach(0, "q", receives=True)

    namespace.delete("q")
    ((detached, _),) = client.read(await client.say(HEARTBEAT))

    assert "was deleted" in p.fields_of(detached.error, p.ERROR, 3)[1]


async def test_a_sender_to_a_deleted_queue_is_refused_and_to_a_new_one_of_that_name_is_not(
    client: Client, namespace: Namespace, message: Any
) -> None:
    await client.attach(0, "q", receives=False)
    namespace.delete("q")
    ((refused, _),) = await client.send(p.Transfer(0, 0, b"t", 0, False), payload=message.octets())
    namespace.create_queue("q", QueueSettings())
    ((accepted, _),) = await client.send(p.Transfer(0, 1, b"t", 0, False), payload=message.octets())

    assert [refused.state.descriptor, accepted.state.descriptor] == [p.REJECTED, p.ACCEPTED]


async def test_a_frame_that_does_not_belong_in_a_session_closes_the_connection(client: Client) -> None:
    ((closed, _),) = await client.send(p.SaslOutcome(0))

    assert p.fields_of(closed.error, p.ERROR, 3)[0] == "amqp:not-allowed"


async def test_every_frame_can_be_logged(client: Client, caplog: pytest.LogCaptureFixture, message: Any) -> None:
    caplog.set_level(logging.DEBUG, "libs.emulators.servicebus")
    await client.attach(0, "q", receives=False)

    await client.send(p.Transfer(0, 0, b"t", 0, False), payload=message.octets())

    assert "Transfer(handle=0" in caplog.text
    assert "body" not in caplog.text


def test_every_performative_comes_back_as_it_was() -> None:
    for performative in (p.Open("c", "h", 512, 1, 1_000), p.Begin(1, 2, 3, 4, 5), p.Detach(1, True), p.Close()):
        decoded, _ = p.decode_performative(p.encode_performative(performative))
        assert decoded == performative


def test_what_is_no_performative_is_a_decode_error() -> None:
    for octets in (b"\x40", encode_value(Described(Symbol("x"), [])), described(0x16, encode_value([None] * 9))):
        with pytest.raises(DecodeError):
            p.decode_performative(octets)

"""The AMQP server, frame by frame: what a client of any make can rely on."""

import asyncio
import logging
from typing import Any

import pytest

from libs.emulators.servicebus.amqp import performatives as p
from libs.emulators.servicebus.amqp.encoder import described, encode_value
from libs.emulators.servicebus.amqp.errors import DecodeError
from libs.emulators.servicebus.amqp.frames import (
    AMQP_HEADER,
    HEARTBEAT,
    MAX_FRAME_SIZE,
    SASL_FRAME,
    SASL_HEADER,
    encode_frame,
)
from libs.emulators.servicebus.amqp.types import Described, Symbol
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.nodes.router import NamespaceRouter
from tests.unit.emulators.servicebus.wire import Client


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

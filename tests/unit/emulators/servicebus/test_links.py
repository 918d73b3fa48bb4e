"""The AMQP server, link by link: attached or refused, transfers both ways, credit, settlements."""

from collections.abc import Callable
from typing import Any

import pytest

from libs.emulators.servicebus.amqp import performatives as p
from libs.emulators.servicebus.amqp.encoder import described, encode_value
from libs.emulators.servicebus.amqp.frames import (
    HEARTBEAT,
)
from libs.emulators.servicebus.amqp.types import Encoded, Symbol
from libs.emulators.servicebus.broker.message import BATCH_FORMAT, DATA, Message, encode_section
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.broker.settings import MAX_MESSAGE_BYTES, QueueSettings
from tests.unit.emulators.servicebus.wire import Client, flow_frame, terminus

Make = Callable[..., Message]


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
    source = terminus(p.SOURCE, "client")

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

    frames = await client.send(flow_frame(0, 1))

    assert len(frames) > 4
    assert [transfer.more for transfer, _ in frames] == [True] * (len(frames) - 1) + [False]
    whole = Message(b"".join(payload for _, payload in frames))
    assert whole.application_properties == {"large": "x" * 5_000}


async def test_transfers_wait_for_the_clients_window(client: Client, namespace: Namespace, message: Make) -> None:
    for _ in range(5):
        namespace.destination("q").publish(message())
    await client.attach(0, "q", receives=True)

    first = await client.send(flow_frame(0, 5, window=2))
    rest = await client.send(p.Flow(2, 10, 0, 1_000))

    assert [type(each) for each, _ in first] == [p.Transfer] * 2
    assert [each.delivery_id for each, _ in rest] == [2, 3, 4]


async def test_a_drain_uses_up_the_credit(client: Client, namespace: Namespace, message: Make) -> None:
    namespace.destination("q").publish(message())
    await client.attach(0, "q", receives=True)

    (transfer, _), (flow, _) = await client.send(flow_frame(0, 10, drain=True))

    assert isinstance(transfer, p.Transfer)
    assert (flow.delivery_count, flow.link_credit, flow.drain) == (10, 0, True)
    namespace.destination("q").publish(message())
    assert client.read(await client.say(HEARTBEAT)) == []


async def test_receive_and_delete_sends_settled_messages(client: Client, namespace: Namespace, message: Make) -> None:
    namespace.destination("q").publish(message())
    await client.attach(0, "q", receives=True, settled=True)

    ((transfer, _),) = await client.send(flow_frame(0, 1))

    assert transfer.settled is True
    assert namespace.origin("q").peek(1, 9) == []


async def receive(client: Client, namespace: Namespace, message: Make, count: int = 1) -> list[p.Transfer]:
    for _ in range(count):
        namespace.destination("q").publish(message("a"))
    await client.attach(0, "q", receives=True)
    return [transfer for transfer, _ in await client.send(flow_frame(0, count))]


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

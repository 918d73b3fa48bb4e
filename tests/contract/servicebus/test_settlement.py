"""Sending, receiving and every way to settle, through the SDK."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.servicebus.exceptions import MessageSizeExceededError

if TYPE_CHECKING:
    from tests.contract.servicebus.conftest import Bus, Reading

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUE = "conformance.settlement"


async def test_a_message_arrives_as_it_was_sent(bus: Bus, reading: Reading, new_id: Callable[[], str]) -> None:
    sent = ServiceBusMessage(
        b"\x00body\xff",
        message_id=new_id(),
        subject="a subject",
        correlation_id="c-1",
        content_type="application/json",
        to="somewhere",
        reply_to="elsewhere",
        reply_to_session_id="r-1",
        partition_key="p-1",
        application_properties={
            "text": "ü",
            "integer": -5,
            "fraction": 1.5,
            "truth": True,
            "id": uuid.UUID(int=7),
            "octets": b"\x01\x02",
        },
    )

    await (await bus.sender(QUEUE)).send_messages(sent)
    receiver = await bus.receiver(QUEUE)
    received = await reading.take_one(receiver)
    await receiver.complete_message(received)

    assert reading.body(received) == b"\x00body\xff"
    assert received.message_id == sent.message_id
    assert (received.subject, received.correlation_id, received.content_type) == (
        "a subject",
        "c-1",
        "application/json",
    )
    assert (received.to, received.reply_to, received.reply_to_session_id) == ("somewhere", "elsewhere", "r-1")
    assert received.partition_key == "p-1"
    assert received.application_properties == {
        b"text": "ü".encode(),
        b"integer": -5,
        b"fraction": 1.5,
        b"truth": True,
        b"id": uuid.UUID(int=7),
        b"octets": b"\x01\x02",
    }


async def test_the_broker_says_when_a_message_came_and_until_when_it_is_locked(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    before = datetime.now(UTC)

    await (await bus.sender(QUEUE)).send_messages(ServiceBusMessage(b"x", message_id=new_id()))
    receiver = await bus.receiver(QUEUE)
    received = await reading.take_one(receiver)
    locked_until, lock_token = received.locked_until_utc, received.lock_token
    await receiver.complete_message(received)

    assert received.delivery_count == 0
    assert received.sequence_number > 0
    assert abs((received.enqueued_time_utc - before).total_seconds()) < 5
    assert 50 < (locked_until - before).total_seconds() < 70
    assert 3500 < (received.expires_at_utc - received.enqueued_time_utc).total_seconds() <= 3600
    assert isinstance(lock_token, uuid.UUID)


@pytest.mark.parametrize(
    ("content", "body_type"),
    [
        ({"value_body": {"a": [1, "b"]}}, AmqpMessageBodyType.VALUE),
        ({"sequence_body": [[1, 2], [3]]}, AmqpMessageBodyType.SEQUENCE),
        ({"data_body": [b"one", b"two"]}, AmqpMessageBodyType.DATA),
    ],
)
async def test_a_body_of_any_amqp_kind_passes_through(
    bus: Bus, reading: Reading, content: dict[str, Any], body_type: AmqpMessageBodyType
) -> None:
    await (await bus.sender(QUEUE)).send_messages(AmqpAnnotatedMessage(**content))
    receiver = await bus.receiver(QUEUE)
    received = await reading.take_one(receiver)
    await receiver.complete_message(received)

    assert received.body_type == body_type


async def test_a_completed_message_is_gone(bus: Bus, reading: Reading, new_id: Callable[[], str]) -> None:
    await (await bus.sender(QUEUE)).send_messages(ServiceBusMessage(b"once", message_id=new_id()))
    receiver = await bus.receiver(QUEUE)
    await receiver.complete_message(await reading.take_one(receiver))

    assert await reading.left(receiver) == []
    assert await reading.nothing(receiver)


async def test_an_abandoned_message_comes_again_and_the_delivery_counts(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    await (await bus.sender(QUEUE)).send_messages(ServiceBusMessage(b"again", message_id=new_id()))
    receiver = await bus.receiver(QUEUE)

    first = await reading.take_one(receiver)
    await receiver.abandon_message(first)
    second = await reading.take_one(receiver)
    await receiver.complete_message(second)

    assert (first.delivery_count, second.delivery_count) == (0, 1)
    assert second.sequence_number == first.sequence_number


async def test_a_message_that_is_abandoned_too_often_becomes_a_dead_letter(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    message_id = new_id()
    await (await bus.sender(QUEUE)).send_messages(ServiceBusMessage(b"poison", message_id=message_id))
    receiver = await bus.receiver(QUEUE)
    for _ in range(3):
        await receiver.abandon_message(await reading.take_one(receiver))

    dead_letters = await bus.dead_letters(QUEUE)
    dead = await reading.take_one(dead_letters)
    await dead_letters.complete_message(dead)

    assert dead.message_id == message_id
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
    assert dead.delivery_count == 3


async def test_a_dead_letter_tells_reason_and_description_and_keeps_its_content(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    message_id = new_id()
    sent = ServiceBusMessage(b"bad", message_id=message_id, application_properties={"mine": "kept"})
    await (await bus.sender(QUEUE)).send_messages(sent)
    receiver = await bus.receiver(QUEUE)
    await receiver.dead_letter_message(
        await reading.take_one(receiver), reason="bad_type", error_description="price is no number"
    )

    dead_letters = await bus.dead_letters(QUEUE)
    dead = await reading.take_one(dead_letters)
    await dead_letters.complete_message(dead)

    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("bad_type", "price is no number")
    assert dead.application_properties[b"mine"] == b"kept"
    assert reading.body(dead) == b"bad"
    assert dead.message_id == message_id


async def test_an_abandoned_dead_letter_stays_in_its_queue_however_often(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    await (await bus.sender(QUEUE)).send_messages(ServiceBusMessage(b"bad", message_id=new_id()))
    receiver = await bus.receiver(QUEUE)
    await receiver.dead_letter_message(await reading.take_one(receiver), reason="r")
    dead_letters = await bus.dead_letters(QUEUE)

    for _ in range(4):
        await dead_letters.abandon_message(await reading.take_one(dead_letters))
    dead = await reading.take_one(dead_letters)
    await dead_letters.complete_message(dead)

    assert dead.dead_letter_reason == "r"


async def test_a_deferred_message_is_received_by_its_number_only(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    await (await bus.sender(QUEUE)).send_messages(ServiceBusMessage(b"later", message_id=new_id()))
    receiver = await bus.receiver(QUEUE)
    message = await reading.take_one(receiver)
    await receiver.defer_message(message)

    assert await reading.nothing(receiver)
    (deferred,) = await receiver.receive_deferred_messages([message.sequence_number])
    await receiver.complete_message(deferred)

    assert reading.body(deferred) == b"later"
    assert await reading.left(receiver) == []


async def test_a_deferred_message_can_be_dead_lettered_through_the_management_link(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    await (await bus.sender(QUEUE)).send_messages(ServiceBusMessage(b"later", message_id=new_id()))
    receiver = await bus.receiver(QUEUE)
    message = await reading.take_one(receiver)
    await receiver.defer_message(message)
    (deferred,) = await receiver.receive_deferred_messages([message.sequence_number])
    await receiver.dead_letter_message(deferred, reason="stale", error_description="too late")

    dead_letters = await bus.dead_letters(QUEUE)
    dead = await reading.take_one(dead_letters)
    await dead_letters.complete_message(dead)

    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("stale", "too late")


async def test_receive_and_delete_leaves_nothing_to_settle(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    await (await bus.sender(QUEUE)).send_messages(ServiceBusMessage(b"fire and forget", message_id=new_id()))

    async with bus.client.get_queue_receiver(QUEUE, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver:
        message = await reading.take_one(receiver)

    assert reading.body(message) == b"fire and forget"
    assert message.lock_token is None
    assert await reading.left(await bus.receiver(QUEUE)) == []


async def test_settling_many_messages_at_once_settles_each(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    sender, receiver = await bus.sender(QUEUE), await bus.receiver(QUEUE)
    await sender.send_messages([ServiceBusMessage(str(n).encode(), message_id=new_id()) for n in range(40)])

    messages = await reading.take(receiver, 40)
    await asyncio.gather(*(receiver.complete_message(message) for message in messages))

    assert [reading.body(message) for message in messages] == [str(n).encode() for n in range(40)]
    assert await reading.left(receiver) == []


async def test_a_message_beyond_the_limit_is_refused(bus: Bus, reading: Reading, new_id: Callable[[], str]) -> None:
    sender, receiver = await bus.sender(QUEUE), await bus.receiver(QUEUE)

    with pytest.raises(MessageSizeExceededError):
        await sender.send_messages(ServiceBusMessage(b"x" * 2_000_000))
    await sender.send_messages(ServiceBusMessage(b"x" * 200_000, message_id=new_id()))
    message = await reading.take_one(receiver)
    await receiver.complete_message(message)

    assert len(reading.body(message)) == 200_000

"""Topics, subscriptions and their rules, through the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusMessage

if TYPE_CHECKING:
    from tests.contract.servicebus.conftest import Bus, Reading

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILTERED, PLAIN = "conformance.filtered", "conformance.plain"


async def send(bus: Bus, topic: str, *messages: ServiceBusMessage) -> None:
    await (await bus.topic_sender(topic)).send_messages(list(messages))


async def bodies(bus: Bus, reading: Reading, subscription: str, count: int) -> list[bytes]:
    """Take exactly ``count`` messages, then make sure that there are no more."""
    receiver = await bus.receiver(FILTERED, subscription)
    messages = await reading.take(receiver, count)
    await asyncio.gather(*(receiver.complete_message(message) for message in messages))
    assert await reading.left(receiver) == []
    return [reading.body(message) for message in messages]


async def test_every_subscription_gets_its_own_copy(bus: Bus, reading: Reading, new_id: Callable[[], str]) -> None:
    message_id = new_id()
    await send(bus, PLAIN, ServiceBusMessage(b"for all", message_id=message_id))
    first, second = await bus.receiver(PLAIN, "first"), await bus.receiver(PLAIN, "second")

    copies = [await reading.take_one(first), await reading.take_one(second)]
    await first.abandon_message(copies[0])
    again = await reading.take_one(first)
    await first.complete_message(again)
    await second.complete_message(copies[1])

    assert [copy.message_id for copy in copies] == [message_id, message_id]
    assert again.delivery_count == 1
    assert again.enqueued_sequence_number == copies[1].enqueued_sequence_number


async def test_a_repeated_id_is_published_once_to_every_subscription(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    message_id = new_id()
    await send(bus, PLAIN, ServiceBusMessage(b"original", message_id=message_id))
    await send(bus, PLAIN, ServiceBusMessage(b"repeat", message_id=message_id))
    await send(bus, PLAIN, ServiceBusMessage(b"other", message_id=new_id()))

    for name in ("first", "second"):
        receiver = await bus.receiver(PLAIN, name)
        messages = await reading.take(receiver, 2)
        await asyncio.gather(*(receiver.complete_message(message) for message in messages))
        assert [reading.body(message) for message in messages] == [b"original", b"other"]
        assert await reading.left(receiver) == []


async def test_the_target_rule_lets_through_what_names_its_service_or_none(bus: Bus, reading: Reading) -> None:
    null: dict[str | bytes, Any] = {"target": None}
    await send(
        bus,
        FILTERED,
        ServiceBusMessage(b"for everybody"),
        ServiceBusMessage(b"for another", application_properties={"target": "validator"}),
        ServiceBusMessage(b"for me", application_properties={"target": "loader"}),
        ServiceBusMessage(b"null", application_properties=null),
    )

    assert await bodies(bus, reading, "for-loader", 3) == [b"for everybody", b"for me", b"null"]


async def test_an_sql_rule_compares_user_and_system_properties(bus: Bus, reading: Reading) -> None:
    elsewhere: dict[str | bytes, Any] = {"target": "nobody"}
    match: dict[str | bytes, Any] = {"price": 19.5, "category": "shoes/men", "brand": "other", **elsewhere}
    unbranded: dict[str | bytes, Any] = {**match, "brand": None}
    await send(
        bus,
        FILTERED,
        ServiceBusMessage(b"match", subject="view", application_properties=match),
        ServiceBusMessage(b"dear", subject="view", application_properties={**match, "price": 20}),
        ServiceBusMessage(b"hats", subject="view", application_properties={**match, "category": "hats/men"}),
        ServiceBusMessage(b"acme", subject="view", application_properties={**match, "brand": "acme"}),
        ServiceBusMessage(b"quoted", subject="view", application_properties={**match, "brand": "o'neil"}),
        ServiceBusMessage(b"cart", subject="cart", application_properties=match),
        ServiceBusMessage(b"no brand", subject="view", application_properties=unbranded),
        ServiceBusMessage(b"match too", subject="view", application_properties={**match, "price": -1}),
    )

    assert await bodies(bus, reading, "cheap-shoes", 2) == [b"match", b"match too"]


async def test_a_correlation_rule_needs_all_its_properties_and_any_rule_is_enough(bus: Bus, reading: Reading) -> None:
    elsewhere: dict[str | bytes, Any] = {"target": "nobody"}
    eu: dict[str | bytes, Any] = {"region": "eu", **elsewhere}
    await send(
        bus,
        FILTERED,
        ServiceBusMessage(b"both", subject="order", application_properties=eu),
        ServiceBusMessage(b"label only", subject="order", application_properties=elsewhere),
        ServiceBusMessage(b"region only", application_properties=eu),
        ServiceBusMessage(b"other rule", correlation_id="always", application_properties=elsewhere),
    )

    assert await bodies(bus, reading, "orders", 2) == [b"both", b"other rule"]


async def test_a_message_that_matches_two_rules_is_delivered_once(bus: Bus, reading: Reading) -> None:
    elsewhere: dict[str | bytes, Any] = {"target": "nobody"}
    await send(
        bus,
        FILTERED,
        ServiceBusMessage(b"one", application_properties={"copies": 1, **elsewhere}),
        ServiceBusMessage(b"both", application_properties={"copies": 2, **elsewhere}),
        ServiceBusMessage(b"neither", application_properties={"copies": 0, **elsewhere}),
    )

    assert await bodies(bus, reading, "twice", 2) == [b"one", b"both"]


async def test_a_scheduled_message_of_a_topic_is_handed_out_when_it_is_due(
    bus: Bus, reading: Reading, new_id: Callable[[], str], in_seconds: Callable[[float], datetime]
) -> None:
    sender = await bus.topic_sender(PLAIN)
    keep, cancel = await sender.schedule_messages(
        [ServiceBusMessage(b"kept", message_id=new_id()), ServiceBusMessage(b"cancelled", message_id=new_id())],
        in_seconds(1),
    )
    await sender.cancel_scheduled_messages(cancel)

    for name in ("first", "second"):
        receiver = await bus.receiver(PLAIN, name)
        message = await reading.take_one(receiver)
        await receiver.complete_message(message)
        assert reading.body(message) == b"kept"
        assert await reading.left(receiver) == []
    assert keep != cancel


async def test_a_subscription_has_dead_letters_of_its_own(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    await send(bus, PLAIN, ServiceBusMessage(b"bad for one", message_id=new_id()))
    first, second = await bus.receiver(PLAIN, "first"), await bus.receiver(PLAIN, "second")
    await first.dead_letter_message(await reading.take_one(first), reason="bad")
    await second.complete_message(await reading.take_one(second))

    async with bus.client.get_subscription_receiver(PLAIN, "first", sub_queue="deadletter") as dead_letters:
        dead = await reading.take_one(dead_letters)
        await dead_letters.complete_message(dead)

    assert dead.dead_letter_reason == "bad"

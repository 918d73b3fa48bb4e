"""Our bus on the official SDK, against a broker that speaks the real protocol."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from libs.common.bus.deadletters import DeadLetterMissingError
from libs.common.bus.envelope import Outgoing
from libs.common.bus.errors import BusError, EntityMissingError, LockLostError, MessageTooLargeError
from libs.common.bus.receiver import MAX_TEXT, ServiceBusDelivery, SubscriptionReceiver
from libs.common.bus.servicebus import Bus
from tests.integration.worker.broker import LOCK_SEC

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOPIC = "events.extracted"


def message(subscription: str, body: str = "{}", **changes: Any) -> Outgoing:
    properties = {"run_id": "r-1", "target": subscription}
    return Outgoing(topic=TOPIC, message_id=uuid.uuid4().hex, body=body, properties=properties | changes)


async def next_of(receiver: SubscriptionReceiver, wait_sec: float = 5.0) -> ServiceBusDelivery:
    delivery = await receiver.receive(wait_sec)
    assert delivery is not None
    return delivery


@pytest_asyncio.fixture(loop_scope="module")
async def receiver(
    listen: Callable[[str, str], Awaitable[SubscriptionReceiver]], subscription: str
) -> SubscriptionReceiver:
    return await listen(TOPIC, subscription)


async def test_a_message_arrives_as_it_was_sent(bus: Bus, receiver: SubscriptionReceiver, subscription: str) -> None:
    sent = message(subscription, body='{"text":"Grüße"}')
    await bus.publisher.publish(sent)
    delivery = await next_of(receiver)
    assert delivery.body.decode() == sent.body
    assert delivery.message_id == sent.message_id
    assert delivery.properties == sent.properties
    assert delivery.delivery_count == 0
    await delivery.complete()
    assert await receiver.receive(0.3) is None


async def test_a_message_handed_back_comes_again_and_is_counted(
    bus: Bus, receiver: SubscriptionReceiver, subscription: str
) -> None:
    await bus.publisher.publish(message(subscription))
    await (await next_of(receiver)).abandon()
    again = await next_of(receiver)
    assert again.delivery_count == 1
    await again.complete()


async def test_a_repeated_id_is_recognised_by_the_broker(
    bus: Bus, receiver: SubscriptionReceiver, subscription: str
) -> None:
    sent = message(subscription)
    await bus.publisher.publish(sent, sent)
    await (await next_of(receiver)).complete()
    assert await receiver.receive(0.3) is None


async def test_a_message_can_be_held_back(bus: Bus, receiver: SubscriptionReceiver, subscription: str) -> None:
    due = datetime.now(UTC) + timedelta(seconds=1)
    await bus.publisher.publish(message(subscription), not_before=due)
    delivery = await next_of(receiver)
    assert datetime.now(UTC) >= due - timedelta(milliseconds=50)
    await delivery.complete()


async def test_a_renewed_lock_outlives_its_first_duration(
    bus: Bus, receiver: SubscriptionReceiver, subscription: str
) -> None:
    await bus.publisher.publish(message(subscription))
    delivery = await next_of(receiver)
    first = delivery.locked_until
    await asyncio.sleep(LOCK_SEC / 2)
    assert await delivery.renew() > first
    await asyncio.sleep(LOCK_SEC / 2 + 0.3)
    await delivery.complete()


async def test_settling_after_the_lock_ran_out_says_so(
    bus: Bus, receiver: SubscriptionReceiver, subscription: str
) -> None:
    await bus.publisher.publish(message(subscription))
    delivery = await next_of(receiver)
    await asyncio.sleep(LOCK_SEC + 0.3)
    with pytest.raises(LockLostError):
        await delivery.complete()
    with pytest.raises(LockLostError):
        await delivery.renew()
    await (await next_of(receiver)).complete()


async def test_what_came_over_a_link_that_was_replaced_can_still_be_settled(
    bus: Bus, receiver: SubscriptionReceiver, subscription: str
) -> None:
    await bus.publisher.publish(message(subscription), message(subscription))
    old = await next_of(receiver)
    await receiver.open()
    new = await next_of(receiver)
    assert old.message_id != new.message_id
    await old.complete()
    await new.renew()
    await new.complete()
    assert await receiver.receive(0.3) is None


async def test_a_cancelled_publish_does_not_break_the_next_one(
    bus: Bus, receiver: SubscriptionReceiver, subscription: str
) -> None:
    await bus.publisher.warm([TOPIC])
    first, second = message(subscription), message(subscription)
    publishing = asyncio.create_task(bus.publisher.publish(first))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    await bus.publisher.publish(second)
    received = {(await _completed(await next_of(receiver))) for _ in range(2)}
    assert received == {first.message_id, second.message_id}


async def _completed(delivery: ServiceBusDelivery) -> str:
    await delivery.complete()
    return delivery.message_id


async def test_many_publishes_at_once_all_arrive(bus: Bus, receiver: SubscriptionReceiver, subscription: str) -> None:
    sent = [message(subscription) for _ in range(30)]
    await asyncio.gather(*(bus.publisher.publish(each) for each in sent))
    received = {await _completed(await next_of(receiver)) for _ in sent}
    assert received == {each.message_id for each in sent}


async def test_a_message_too_large_for_the_broker_is_refused_for_good(bus: Bus, subscription: str) -> None:
    with pytest.raises(MessageTooLargeError) as caught:
        await bus.publisher.publish(message(subscription, body="x" * 2_000_000))
    assert not caught.value.transient


@pytest.mark.parametrize("topic", ["no.such.topic"])
async def test_a_topic_that_does_not_exist_is_named_with_the_topology(bus: Bus, topic: str) -> None:
    with pytest.raises(BusError) as caught:
        await bus.publisher.publish(Outgoing(topic=topic, message_id="x", body="{}"))
    assert isinstance(caught.value, EntityMissingError)
    assert "topology.json" in caught.value.next_step


async def test_a_subscription_that_does_not_exist_is_refused_at_the_opening(bus: Bus) -> None:
    with pytest.raises(EntityMissingError):
        await bus.receiver(TOPIC, "nobody").open()


async def test_dead_letters_can_be_listed_replayed_to_their_own_subscription_and_discarded(
    bus: Bus, receiver: SubscriptionReceiver, subscription: str
) -> None:
    body = '{"type":"events.extracted.v1","run_id":"r-9"}'
    sent = [message(subscription, body=body, attempt="3") for _ in range(3)]
    await bus.publisher.publish(*sent)
    for _ in sent:
        await (await next_of(receiver)).dead_letter(reason="bad_shape", description="x" * 10_000)

    dead = bus.dead_letters(TOPIC, subscription)
    listed = [each async for each in dead.list()]
    assert [each.message_id for each in listed] == [each.message_id for each in sent]
    assert {(each.type, each.run_id, each.reason) for each in listed} == {("events.extracted.v1", "r-9", "bad_shape")}
    assert {len(each.description) for each in listed} == {MAX_TEXT}

    copy = await dead.replay(listed[1].sequence)
    again = await next_of(receiver)
    assert again.message_id == copy.message_id == f"{sent[1].message_id}#replay-1"
    assert again.body.decode() == body
    assert "attempt" not in again.properties
    assert again.properties["target"] == subscription
    await again.dead_letter(reason="still_bad", description="")

    replayed_twice = await dead.replay(again.message_id)
    assert replayed_twice.message_id == f"{sent[1].message_id}#replay-2"
    await (await next_of(receiver)).complete()

    await dead.discard(sent[0].message_id)
    assert [each.message_id async for each in dead.list()] == [sent[2].message_id]
    with pytest.raises(DeadLetterMissingError):
        await dead.discard("nothing")
    assert [each.message_id async for each in dead.list(limit=1)] == [sent[2].message_id]

"""A broker that goes away and comes back."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest

from libs.common.bus.envelope import Outgoing
from libs.common.bus.errors import BusError
from libs.common.bus.receiver import ServiceBusDelivery, SubscriptionReceiver
from libs.common.bus.servicebus import connect
from tests.integration.worker.broker import Broker

TOPIC = "events.extracted"


def message(number: int) -> Outgoing:
    return Outgoing(topic=TOPIC, message_id=f"m-{number}", body="{}", properties={"target": "s0"})


async def test_after_a_restart_of_the_broker_both_ends_find_it_again(lasting_broker: Broker) -> None:
    bus = connect(lasting_broker.settings())
    receiver = bus.receiver(TOPIC, "s0")
    await receiver.open()
    await bus.publisher.publish(message(1))
    assert await receiver.receive(5) is not None

    lasting_broker.stop(kill=True)
    with pytest.raises(BusError) as caught:
        await _until_it_raises(receiver)
    assert caught.value.transient
    lasting_broker.start()
    await receiver.open()
    await bus.publisher.publish(message(2))

    assert {await _completed(receiver) for _ in range(2)} == {"m-1", "m-2"}
    await receiver.aclose()
    await bus.aclose()


async def test_a_connection_that_broke_leaves_no_socket_to_the_garbage_collector(lasting_broker: Broker) -> None:
    bus = connect(lasting_broker.settings())
    receiver = bus.receiver(TOPIC, "s0")
    await receiver.open()
    await bus.publisher.publish(message(1))
    lasting_broker.stop(kill=True)
    with pytest.raises(BusError):
        await _until_it_raises(receiver)
    lasting_broker.start()
    await receiver.open()
    await bus.publisher.publish(message(2))
    await receiver.aclose()
    await bus.aclose()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []


async def _until_it_raises(receiver: SubscriptionReceiver) -> None:
    async with asyncio.timeout(20):
        while True:
            await receiver.receive(0.5)


async def _completed(receiver: SubscriptionReceiver) -> str:
    delivery: ServiceBusDelivery | None = await receiver.receive(10)
    assert delivery is not None
    await delivery.complete()
    return delivery.message_id

"""Peeking, batches, waiting, streaming and drain, through the SDK."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch, ServiceBusMessageState, ServiceBusReceiveMode
from azure.servicebus.exceptions import MessageSizeExceededError

if TYPE_CHECKING:
    from tests.contract.servicebus.conftest import Bus, Reading

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUE = "conformance.reading"


async def test_peek_sees_messages_in_every_state_and_locks_none(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    sender, receiver = await bus.sender(QUEUE), await bus.receiver(QUEUE)
    await sender.send_messages([ServiceBusMessage(body, message_id=new_id()) for body in (b"a", b"b", b"c")])
    first, second, third = await reading.take(receiver, 3)
    await receiver.defer_message(second)
    await receiver.abandon_message(third)
    due = datetime.now(UTC) + timedelta(hours=1)
    (scheduled,) = await sender.schedule_messages([ServiceBusMessage(b"d", message_id=new_id())], due)

    peeked = await reading.left(receiver)
    await receiver.complete_message(first)
    (deferred,) = await receiver.receive_deferred_messages([second.sequence_number])
    await receiver.complete_message(deferred)
    await receiver.complete_message(await reading.take_one(receiver))
    await sender.cancel_scheduled_messages([scheduled])

    assert [reading.body(message) for message in peeked] == [b"a", b"b", b"c", b"d"]
    assert [message.state for message in peeked] == [
        ServiceBusMessageState.ACTIVE,
        ServiceBusMessageState.DEFERRED,
        ServiceBusMessageState.ACTIVE,
        ServiceBusMessageState.SCHEDULED,
    ]
    assert await reading.left(receiver) == []


async def test_peek_starts_at_a_sequence_number_and_stops_at_a_count(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    sender, receiver = await bus.sender(QUEUE), await bus.receiver(QUEUE)
    await sender.send_messages([ServiceBusMessage(str(n).encode(), message_id=new_id()) for n in range(5)])

    everything = await reading.left(receiver)
    some = await receiver.peek_messages(2, sequence_number=everything[2].sequence_number)
    await asyncio.gather(*(receiver.complete_message(message) for message in await reading.take(receiver, 5)))

    assert [reading.body(message) for message in some] == [b"2", b"3"]


async def test_receiving_from_an_empty_queue_ends_after_the_wait_time(bus: Bus) -> None:
    receiver = await bus.receiver(QUEUE)
    started = time.monotonic()

    messages = await receiver.receive_messages(5, max_wait_time=1)

    assert messages == []
    assert 0.9 < time.monotonic() - started < 2.5


async def test_receiving_returns_what_there_is_before_the_wait_time_ends(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    sender, receiver = await bus.sender(QUEUE), await bus.receiver(QUEUE)
    await sender.send_messages([ServiceBusMessage(b"x", message_id=new_id()) for _ in range(3)])
    started = time.monotonic()

    messages = await receiver.receive_messages(10, max_wait_time=20)
    await asyncio.gather(*(receiver.complete_message(message) for message in messages))

    assert len(messages) == 3
    assert time.monotonic() - started < 5


async def test_a_waiting_receiver_gets_a_message_as_soon_as_it_is_sent(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    sender, receiver = await bus.sender(QUEUE), await bus.receiver(QUEUE)
    waiting = asyncio.create_task(receiver.receive_messages(1, max_wait_time=20))
    await sender.send_messages(ServiceBusMessage(b"now", message_id=new_id()))
    started = time.monotonic()

    (message,) = await waiting
    await receiver.complete_message(message)

    assert time.monotonic() - started < 2


def fill(batch: ServiceBusMessageBatch, new_id: Callable[[], str]) -> None:
    for n in range(10_000):
        batch.add_message(ServiceBusMessage(f"{n:0>1000}".encode(), message_id=new_id()))


async def test_a_batch_fills_up_and_arrives_whole_and_in_order(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    sender = await bus.sender("conformance.batches")
    receiver = await bus.receiver("conformance.batches")
    batch = await sender.create_message_batch()
    with pytest.raises(MessageSizeExceededError):
        fill(batch, new_id)

    await sender.send_messages(batch)
    messages = await reading.take(receiver, len(batch))
    await asyncio.gather(*(receiver.complete_message(message) for message in messages))

    assert len(batch) > 100
    assert [int(reading.body(message)) for message in messages] == list(range(len(batch)))


async def test_a_prefetching_receiver_streams_everything_once(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    sender = await bus.sender("conformance.streaming")
    await sender.send_messages([ServiceBusMessage(str(n).encode(), message_id=new_id()) for n in range(120)])
    seen = []

    async with bus.client.get_queue_receiver("conformance.streaming", prefetch_count=20, max_wait_time=1) as receiver:
        async for message in receiver:
            seen.append(int(reading.body(message)))
            await receiver.complete_message(message)

    assert seen == list(range(120))


async def test_a_closing_receiver_gives_back_what_it_did_not_hand_out(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    sender = await bus.sender("conformance.streaming")
    await sender.send_messages([ServiceBusMessage(str(n).encode(), message_id=new_id()) for n in range(10)])

    async with bus.client.get_queue_receiver("conformance.streaming", prefetch_count=20) as hoarder:
        await hoarder.complete_message(await reading.take_one(hoarder))
    receiver = await bus.receiver("conformance.streaming")
    rest = await reading.take(receiver, 9)
    await asyncio.gather(*(receiver.complete_message(message) for message in rest))

    assert [message.delivery_count for message in rest] == [0] * 9


async def test_competing_receivers_share_a_queue_without_doubles(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    sender = await bus.sender("conformance.streaming")
    await sender.send_messages([ServiceBusMessage(str(n).encode(), message_id=new_id()) for n in range(60)])

    async def consume() -> list[int]:
        async with bus.client.get_queue_receiver(
            "conformance.streaming", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE, max_wait_time=1
        ) as receiver:
            return [int(reading.body(message)) async for message in receiver]

    first, second = await asyncio.gather(consume(), consume())

    assert sorted(first + second) == list(range(60))

"""Locks, schedules, expiry and duplicate detection, through the SDK. Waits as long as the shortest settings take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import AutoLockRenewer, ServiceBusClient
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError

if TYPE_CHECKING:
    from tests.contract.servicebus.conftest import Bus, Reading

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOCKS, SCHEDULED = "conformance.locks", "conformance.scheduled"


async def test_locks_expire_unless_they_are_renewed(bus: Bus, reading: Reading, new_id: Callable[[], str]) -> None:
    sender, receiver = await bus.sender(LOCKS), await bus.receiver(LOCKS)
    await sender.send_messages(
        [ServiceBusMessage(body, message_id=new_id()) for body in (b"lost", b"renewed", b"auto")]
    )
    started = time.monotonic()
    lost, renewed, automatic = await reading.take(receiver, 3)
    async with AutoLockRenewer() as renewer:
        renewer.register(receiver, automatic, max_lock_renewal_duration=30)
        await asyncio.sleep(3.5)
        locked_until = await receiver.renew_message_lock(renewed)

        (again,) = await reading.take(receiver, 1)
        redelivered_after = time.monotonic() - started
        with pytest.raises(MessageLockLostError):
            await receiver.complete_message(lost)
        await receiver.complete_message(again)
        # Past the first lock of both, and of the renewed one by what a renewal gives.
        await asyncio.sleep(max(0.0, 7 - (time.monotonic() - started)))
        await receiver.complete_message(renewed)
        await receiver.complete_message(automatic)

    assert (reading.body(again), again.delivery_count) == (b"lost", 1)
    assert 4.5 < redelivered_after < 7
    assert locked_until > datetime.now(UTC)
    assert await reading.left(receiver) == []


async def test_a_scheduled_message_comes_when_it_is_due_and_not_before(
    bus: Bus, reading: Reading, new_id: Callable[[], str], in_seconds: Callable[[float], datetime]
) -> None:
    sender, receiver = await bus.sender(SCHEDULED), await bus.receiver(SCHEDULED)
    due = in_seconds(1.5)
    await sender.schedule_messages(ServiceBusMessage(b"managed", message_id=new_id()), due)
    await sender.send_messages(ServiceBusMessage(b"sent", message_id=new_id(), scheduled_enqueue_time_utc=due))

    messages = await reading.take(receiver, 2)
    arrived = datetime.now(UTC)
    await asyncio.gather(*(receiver.complete_message(message) for message in messages))

    assert sorted(reading.body(message) for message in messages) == [b"managed", b"sent"]
    assert arrived >= due
    assert all(message.enqueued_time_utc >= due for message in messages)
    # The schedule does not eat into the time to live.
    assert all(message.expires_at_utc - message.enqueued_time_utc == timedelta(hours=1) for message in messages)


async def test_a_cancelled_message_never_comes(
    bus: Bus, reading: Reading, new_id: Callable[[], str], in_seconds: Callable[[float], datetime]
) -> None:
    sender, receiver = await bus.sender(SCHEDULED), await bus.receiver(SCHEDULED)
    kept, cancelled = await sender.schedule_messages(
        [ServiceBusMessage(b"kept", message_id=new_id()), ServiceBusMessage(b"cancelled", message_id=new_id())],
        in_seconds(1),
    )
    await sender.cancel_scheduled_messages(cancelled)

    message = await reading.take_one(receiver)
    await receiver.complete_message(message)

    assert reading.body(message) == b"kept"
    assert await reading.left(receiver) == []
    assert kept < cancelled


async def test_cancelling_what_is_not_scheduled_is_an_error(connection_string: str) -> None:
    # Without retries: the SDK takes the answer for a passing failure.
    async with (
        ServiceBusClient.from_connection_string(connection_string, retry_total=0) as client,
        client.get_queue_sender(SCHEDULED) as sender,
    ):
        with pytest.raises(ServiceBusError, match="scheduled message"):
            await sender.cancel_scheduled_messages([987_654_321])


async def test_an_expired_message_becomes_a_dead_letter_where_the_queue_says_so(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    message_id = new_id()
    await (await bus.sender("conformance.expiring")).send_messages(
        ServiceBusMessage(b"milk", message_id=message_id, time_to_live=timedelta(seconds=1))
    )

    dead_letters = await bus.dead_letters("conformance.expiring")
    dead = await reading.take_one(dead_letters)
    await dead_letters.complete_message(dead)

    assert (dead.message_id, dead.dead_letter_reason) == (message_id, "TTLExpiredException")
    assert await reading.nothing(await bus.receiver("conformance.expiring"))


async def test_an_expired_message_vanishes_where_the_queue_does_not(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    await (await bus.sender("conformance.vanishing")).send_messages(
        ServiceBusMessage(b"milk", message_id=new_id(), time_to_live=timedelta(seconds=1))
    )
    receiver = await bus.receiver("conformance.vanishing")

    async def is_gone() -> bool:
        return await reading.left(receiver) == []

    assert len(await reading.left(receiver)) == 1
    assert await reading.until(is_gone)
    assert await reading.nothing(receiver)


async def test_a_repeated_id_within_the_window_is_accepted_and_dropped(
    bus: Bus, reading: Reading, new_id: Callable[[], str]
) -> None:
    message_id = new_id()
    sender, receiver = await bus.sender("conformance.duplicates"), await bus.receiver("conformance.duplicates")

    await sender.send_messages(ServiceBusMessage(b"first", message_id=message_id))
    message = await reading.take_one(receiver)
    await receiver.complete_message(message)
    # Also after the first one is completed, and inside a batch.
    await sender.send_messages(ServiceBusMessage(b"second", message_id=message_id))
    await sender.send_messages(
        [ServiceBusMessage(b"third", message_id=message_id), ServiceBusMessage(b"new", message_id=new_id())]
    )
    other = await reading.take_one(receiver)
    await receiver.complete_message(other)

    assert (reading.body(message), reading.body(other)) == (b"first", b"new")
    assert await reading.left(receiver) == []

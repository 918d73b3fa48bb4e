"""Network failures, kill -9 and restarts: clients come back, and with a data directory nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.aio.management import ServiceBusAdministrationClient
from azure.servicebus.exceptions import ServiceBusError

from libs.emulators.servicebus.admin_transport import AsyncEmulatorTransport

if TYPE_CHECKING:
    from tests.contract.servicebus.conftest import EmulatorProcess, Reading

# The SDK does not close the socket of a connection that was cut; here it is collected with the test that cut it.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collect_sockets"),
]

QUEUE, TOPIC = "conformance.settlement", "conformance.plain"


async def test_clients_reconnect_after_every_connection_was_cut(
    start_emulator: Callable[..., EmulatorProcess], topology_file: Path, reading: Reading, new_id: Callable[[], str]
) -> None:
    emulator = start_emulator("--topology", str(topology_file))
    async with (
        ServiceBusClient.from_connection_string(emulator.connection_string, retry_backoff_factor=0.1) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE) as receiver,
    ):
        await sender.send_messages(ServiceBusMessage(b"before", message_id=new_id()))
        held = await reading.take_one(receiver)

        assert emulator.post("/faults/drop-connections")["dropped"] >= 2
        await sender.send_messages(ServiceBusMessage(b"after", message_id=new_id()))
        # Long enough to open the link again: the SDK counts that as waiting.
        (after,) = await receiver.receive_messages(1, max_wait_time=20)
        # The lock outlives its connection; the SDK settles through the management link.
        await receiver.complete_message(held)
        await receiver.complete_message(after)

        assert reading.body(after) == b"after"
        assert await reading.left(receiver) == []


async def test_locks_that_expire_on_order_give_messages_to_others(
    start_emulator: Callable[..., EmulatorProcess], topology_file: Path, reading: Reading, new_id: Callable[[], str]
) -> None:
    emulator = start_emulator("--topology", str(topology_file))
    async with (
        ServiceBusClient.from_connection_string(emulator.connection_string) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE) as receiver,
    ):
        await sender.send_messages(ServiceBusMessage(b"x", message_id=new_id()))
        await reading.take_one(receiver)

        assert emulator.post("/faults/expire-locks") == {"expired": 1}
        again = await reading.take_one(receiver)
        await receiver.complete_message(again)

        assert again.delivery_count == 1


async def test_everything_survives_kill_minus_nine(
    start_emulator: Callable[..., EmulatorProcess],
    topology_file: Path,
    tmp_path: Path,
    reading: Reading,
    new_id: Callable[[], str],
    in_seconds: Callable[[float], datetime],
) -> None:
    emulator = start_emulator("--topology", str(topology_file), "--data", str(tmp_path))
    seen = new_id()
    async with (
        ServiceBusClient.from_connection_string(emulator.connection_string) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_topic_sender(TOPIC) as topic_sender,
        client.get_queue_receiver(QUEUE) as receiver,
    ):
        await sender.send_messages(
            [ServiceBusMessage(body, message_id=new_id()) for body in (b"deferred", b"dead", b"done", b"abandoned")]
        )
        deferred, dead, done, abandoned = await reading.take(receiver, 4)
        await receiver.defer_message(deferred)
        await receiver.dead_letter_message(dead, reason="why", error_description="because")
        await receiver.complete_message(done)
        await receiver.abandon_message(abandoned)
        await sender.send_messages(ServiceBusMessage(b"active", message_id=new_id()))
        await sender.schedule_messages(ServiceBusMessage(b"scheduled", message_id=new_id()), in_seconds(3600))
        await topic_sender.send_messages(ServiceBusMessage(b"published", message_id=seen))
        await topic_sender.schedule_messages(ServiceBusMessage(b"topical", message_id=new_id()), in_seconds(1))
        emulator.kill()
    highest = max(message.sequence_number for message in (deferred, dead, done, abandoned))

    emulator.start()
    async with (
        ServiceBusClient.from_connection_string(emulator.connection_string) as client,
        client.get_topic_sender(TOPIC) as topic_sender,
        client.get_queue_receiver(QUEUE) as receiver,
        client.get_queue_receiver(QUEUE, sub_queue="deadletter") as dead_letters,
        client.get_subscription_receiver(TOPIC, "first") as subscription,
    ):
        left = await reading.left(receiver)
        assert [(reading.body(message), message.state.name) for message in left] == [
            (b"deferred", "DEFERRED"),
            (b"abandoned", "ACTIVE"),
            (b"active", "ACTIVE"),
            (b"scheduled", "SCHEDULED"),
        ]
        first, second = await reading.take(receiver, 2)
        assert (reading.body(first), first.delivery_count, first.time_to_live) == (b"abandoned", 1, timedelta(hours=1))
        assert (reading.body(second), second.delivery_count) == (b"active", 0)
        assert second.sequence_number > highest
        (fetched,) = await receiver.receive_deferred_messages(deferred.sequence_number)
        assert reading.body(fetched) == b"deferred"
        letter = await reading.take_one(dead_letters)
        assert (letter.dead_letter_reason, letter.dead_letter_error_description) == ("why", "because")
        await topic_sender.send_messages(ServiceBusMessage(b"repeat", message_id=seen))
        published, topical = await reading.take(subscription, 2)
        assert (reading.body(published), reading.body(topical)) == (b"published", b"topical")


# The SDK's reading of rules, from Python 3.12 on.
@pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning")
async def test_entities_made_by_an_administrator_survive_and_the_file_rules_what_it_names(
    start_emulator: Callable[..., EmulatorProcess], topology_file: Path, tmp_path: Path
) -> None:
    emulator = start_emulator("--topology", str(topology_file), "--data", str(tmp_path))
    async with _administration(emulator) as administration:
        await administration.create_queue("made.by.hand", max_delivery_count=7)
        await administration.create_subscription(TOPIC, "third")
        await administration.delete_rule(TOPIC, "first", "all")
        await administration.delete_queue("conformance.sync")
    emulator.kill()

    emulator.start()
    async with _administration(emulator) as administration:
        assert (await administration.get_queue("made.by.hand")).max_delivery_count == 7
        assert [each.name async for each in administration.list_subscriptions(TOPIC)] == ["first", "second", "third"]
        assert [rule.name async for rule in administration.list_rules(TOPIC, "first")] == ["all"]
        assert (await administration.get_queue("conformance.sync")).name == "conformance.sync"


async def test_what_was_confirmed_is_there_after_a_kill_in_mid_stream(
    start_emulator: Callable[..., EmulatorProcess], topology_file: Path, tmp_path: Path, reading: Reading
) -> None:
    emulator = start_emulator("--topology", str(topology_file), "--data", str(tmp_path))
    confirmed = 0
    async with ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) as client:

        async def send() -> None:
            nonlocal confirmed
            async with client.get_queue_sender(QUEUE) as sender:
                while True:
                    await sender.send_messages(ServiceBusMessage(str(confirmed).encode()))
                    confirmed += 1

        sending = asyncio.create_task(send())

        async def enough() -> bool:
            return confirmed >= 100

        await reading.until(enough)
        emulator.kill()
        with pytest.raises(ServiceBusError):
            await sending

    emulator.start()
    kept = emulator.get("/counts")["entities"][QUEUE]["active"]
    # One more may have been written whose confirmation was lost.
    assert confirmed <= kept <= confirmed + 1


async def test_without_a_data_directory_a_restart_begins_empty(
    start_emulator: Callable[..., EmulatorProcess], topology_file: Path
) -> None:
    emulator = start_emulator("--topology", str(topology_file))
    async with (
        ServiceBusClient.from_connection_string(emulator.connection_string) as client,
        client.get_queue_sender(QUEUE) as sender,
    ):
        await sender.send_messages(ServiceBusMessage(b"x"))
        assert emulator.get("/counts")["entities"][QUEUE]["active"] == 1
        emulator.kill()

    emulator.start()
    assert emulator.get("/counts")["entities"][QUEUE]["active"] == 0


def _administration(emulator: EmulatorProcess) -> ServiceBusAdministrationClient:
    return ServiceBusAdministrationClient.from_connection_string(
        emulator.connection_string, transport=AsyncEmulatorTransport(emulator.admin_url)
    )

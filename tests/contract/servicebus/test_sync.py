"""The same bus through the SDK's synchronous client."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure.servicebus import AutoLockRenewer, ServiceBusClient, ServiceBusMessage
from azure.servicebus.management import ServiceBusAdministrationClient

from libs.emulators.servicebus.admin_transport import EmulatorTransport

if TYPE_CHECKING:
    from tests.contract.servicebus.conftest import EmulatorProcess

QUEUE = "conformance.sync"


def test_the_synchronous_client_sends_receives_and_settles(connection_string: str, new_id: Callable[[], str]) -> None:
    with (
        ServiceBusClient.from_connection_string(connection_string) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE) as receiver,
    ):
        sender.send_messages([ServiceBusMessage(body, message_id=new_id()) for body in (b"a", b"b", b"c", b"d")])
        deferred: Any
        completed, abandoned, deferred, dead = receiver.receive_messages(4, max_wait_time=5)
        receiver.complete_message(completed)
        receiver.abandon_message(abandoned)
        receiver.defer_message(deferred)
        receiver.dead_letter_message(dead, reason="r", error_description="d")
        (again,) = receiver.receive_messages(1, max_wait_time=5)
        assert again.delivery_count == 1
        assert receiver.renew_message_lock(again) > datetime.now(UTC)
        receiver.complete_message(again)
        (fetched,) = receiver.receive_deferred_messages(deferred.sequence_number)
        receiver.complete_message(fetched)
        number = sender.schedule_messages(ServiceBusMessage(b"e"), datetime.now(UTC) + timedelta(hours=1))
        assert [message.sequence_number for message in receiver.peek_messages(5, sequence_number=1)] == number
        sender.cancel_scheduled_messages(number)

        with client.get_queue_receiver(QUEUE, sub_queue="deadletter") as dead_letters:
            (letter,) = dead_letters.receive_messages(1, max_wait_time=5)
            assert (letter.dead_letter_reason, letter.dead_letter_error_description) == ("r", "d")
            dead_letters.complete_message(letter)

        assert receiver.peek_messages(5, sequence_number=1) == []


def test_the_synchronous_client_renews_locks_and_streams(connection_string: str, new_id: Callable[[], str]) -> None:
    with (
        ServiceBusClient.from_connection_string(connection_string) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE, max_wait_time=1, prefetch_count=5) as receiver,
        AutoLockRenewer() as renewer,
    ):
        sender.send_messages([ServiceBusMessage(str(n).encode(), message_id=new_id()) for n in range(20)])
        seen = []
        for message in receiver:
            renewer.register(receiver, message, max_lock_renewal_duration=60)
            seen.append(int(b"".join(message.body)))
            receiver.complete_message(message)

    assert seen == list(range(20))


def test_the_synchronous_client_manages_entities_too(own_emulator: EmulatorProcess) -> None:
    with ServiceBusAdministrationClient.from_connection_string(
        own_emulator.connection_string, transport=EmulatorTransport(own_emulator.admin_url)
    ) as client:
        client.create_queue("admin.sync")
        with (
            ServiceBusClient.from_connection_string(own_emulator.connection_string) as messaging,
            messaging.get_queue_sender("admin.sync") as sender,
        ):
            sender.send_messages(ServiceBusMessage(b"x"))
        assert client.get_queue_runtime_properties("admin.sync").active_message_count == 1
        assert client.get_namespace_properties().name == "sbemulatorns"
        client.delete_queue("admin.sync")

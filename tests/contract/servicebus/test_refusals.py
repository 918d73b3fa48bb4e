"""What the bus does not have or does not allow is refused with an error that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessagingEntityNotFoundError, ServiceBusError

if TYPE_CHECKING:
    from tests.contract.servicebus.conftest import Bus, EmulatorProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_sending_to_an_entity_that_is_not_there_says_so(bus: Bus) -> None:
    with pytest.raises(ServiceBusError) as failure:
        async with bus.client.get_queue_sender("conformance.nowhere") as sender:
            await sender.send_messages(ServiceBusMessage(b"x"))

    assert "conformance.nowhere" in str(failure.value)


async def test_receiving_from_a_subscription_that_is_not_there_says_so(own_emulator: EmulatorProcess, bus: Bus) -> None:
    with pytest.raises(MessagingEntityNotFoundError, match=r"conformance\.plain/Subscriptions/nobody"):
        async with bus.client.get_subscription_receiver("conformance.plain", "nobody"):
            pass


async def test_a_session_receiver_is_refused(own_emulator: EmulatorProcess, bus: Bus) -> None:
    with pytest.raises(ServiceBusError, match="sessions are not supported"):
        async with bus.client.get_queue_receiver("conformance.reading", session_id="s"):
            pass

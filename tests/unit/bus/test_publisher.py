"""What the publisher does with the SDK's senders, on stand-ins that fail on order."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusConnectionError

from libs.common.bus.envelope import Outgoing
from libs.common.bus.errors import BusUnavailableError
from libs.common.bus.publisher import ServiceBusPublisher


class StandInSender:
    def __init__(self, client: StandInClient) -> None:
        self._client = client
        self.closed = False
        self.opened = False

    async def __aenter__(self) -> StandInSender:
        self.opened = True
        return self

    async def send_messages(self, message: ServiceBusMessage, **_: Any) -> None:
        self._client.sending += 1
        self._client.most_at_once = max(self._client.most_at_once, self._client.sending)
        try:
            await self._client.gate.wait()
            if self._client.errors:
                raise self._client.errors.pop(0)
            self._client.sent.append(str(message.message_id))
        finally:
            self._client.sending -= 1

    async def close(self) -> None:
        self.closed = True


class StandInClient:
    def __init__(self) -> None:
        self.senders: list[StandInSender] = []
        self.sent: list[str] = []
        self.errors: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.sending = self.most_at_once = 0

    def get_topic_sender(self, _topic: str) -> StandInSender:
        self.senders.append(StandInSender(self))
        return self.senders[-1]


@pytest.fixture
def client() -> StandInClient:
    return StandInClient()


@pytest.fixture
def publisher(client: StandInClient) -> ServiceBusPublisher:
    return ServiceBusPublisher(cast("ServiceBusClient", client))


def message(number: int, topic: str = "t") -> Outgoing:
    return Outgoing(topic=topic, message_id=f"m{number}", body="{}")


async def test_one_sender_a_topic_is_opened_and_kept(publisher: ServiceBusPublisher, client: StandInClient) -> None:
    await publisher.publish(message(1), message(2), message(3, "other"))
    assert len(client.senders) == 2
    assert client.sent == ["m1", "m2", "m3"]


async def test_a_warmed_up_sender_is_the_one_that_sends(publisher: ServiceBusPublisher, client: StandInClient) -> None:
    await publisher.warm(["t"])
    await publisher.publish(message(1))
    assert [sender.opened for sender in client.senders] == [True]


async def test_sends_on_one_topic_do_not_overlap(publisher: ServiceBusPublisher, client: StandInClient) -> None:
    await asyncio.gather(*(publisher.publish(message(number)) for number in range(5)))
    assert client.most_at_once == 1


@pytest.mark.parametrize("error", [ServiceBusConnectionError(), OSError(), AttributeError("None has no send")])
async def test_after_an_error_the_next_send_starts_from_a_fresh_sender(
    publisher: ServiceBusPublisher, client: StandInClient, error: Exception
) -> None:
    client.errors = [error]
    with pytest.raises(BusUnavailableError):
        await publisher.publish(message(1))
    await publisher.publish(message(1))
    assert [sender.closed for sender in client.senders] == [True, False]
    assert client.sent == ["m1"]


async def test_a_send_once_begun_runs_to_its_end_though_its_caller_is_cancelled(
    publisher: ServiceBusPublisher, client: StandInClient
) -> None:
    client.gate.clear()
    publishing = asyncio.create_task(publisher.publish(message(1)))
    for _ in range(5):
        await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    client.gate.set()
    await publisher.aclose()
    assert client.sent == ["m1"]
    assert client.senders[0].closed

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from libs.common.bus.receiver import SubscriptionReceiver
from libs.common.bus.servicebus import Bus, connect
from tests.integration.worker.broker import SUBSCRIPTIONS, Broker

_numbers = itertools.count()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(broker: Broker) -> AsyncIterator[Bus]:
    bus = connect(broker.settings())
    yield bus
    await bus.aclose()


Listen = Callable[[str, str], Awaitable[SubscriptionReceiver]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def listen(bus: Bus) -> AsyncIterator[Listen]:
    """Opens receivers; closes them all at once at the end, because one takes the SDK up to a second."""
    receivers: list[SubscriptionReceiver] = []

    async def opened(topic: str, subscription: str) -> SubscriptionReceiver:
        receivers.append(bus.receiver(topic, subscription))
        await receivers[-1].open()
        return receivers[-1]

    yield opened
    await asyncio.gather(*(receiver.aclose() for receiver in receivers))


@pytest.fixture
def subscription() -> str:
    """One that no other test uses; messages reach it with `target` set to its name."""
    number = next(_numbers)
    assert number < SUBSCRIPTIONS
    return f"s{number}"


@pytest.fixture
def lasting_broker(tmp_path: Path) -> Iterator[Broker]:
    """One for this test alone, whose messages survive its restart."""
    broker = Broker(tmp_path, keep=True)
    broker.start()
    yield broker
    broker.stop()

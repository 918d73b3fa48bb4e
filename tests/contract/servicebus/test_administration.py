"""Entities through ServiceBusAdministrationClient."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio.management import ServiceBusAdministrationClient
from azure.servicebus.management import CorrelationRuleFilter, FalseRuleFilter, SqlRuleAction, SqlRuleFilter

from libs.emulators.servicebus.admin_transport import AsyncEmulatorTransport

if TYPE_CHECKING:
    from tests.contract.servicebus.conftest import Bus, EmulatorProcess, Reading

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # The SDK's reading of rules, from Python 3.12 on.
    pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def administration(own_emulator: EmulatorProcess) -> AsyncIterator[ServiceBusAdministrationClient]:
    async with ServiceBusAdministrationClient.from_connection_string(
        own_emulator.connection_string, transport=AsyncEmulatorTransport(own_emulator.admin_url)
    ) as client:
        yield client


async def test_a_queue_is_created_read_changed_listed_and_deleted(
    administration: ServiceBusAdministrationClient,
) -> None:
    created = await administration.create_queue(
        "admin/queue",
        lock_duration=timedelta(seconds=30),
        max_delivery_count=4,
        default_message_time_to_live="P1DT2H",
        dead_lettering_on_message_expiration=True,
        requires_duplicate_detection=True,
        duplicate_detection_history_time_window="PT20S",
        user_metadata="<mine> & yours",
    )
    assert created.lock_duration == timedelta(seconds=30)
    assert created.default_message_time_to_live == timedelta(days=1, hours=2)
    assert created.duplicate_detection_history_time_window == timedelta(seconds=20)
    assert (created.max_delivery_count, created.requires_duplicate_detection) == (4, True)
    assert created.dead_lettering_on_message_expiration
    assert (created.requires_session, created.status, created.availability_status) == (False, "Active", "Available")

    created.max_delivery_count = 5
    await administration.update_queue(created)
    read = await administration.get_queue("ADMIN/queue")
    assert (read.max_delivery_count, read.lock_duration) == (5, timedelta(seconds=30))
    assert read.user_metadata == "<mine> & yours"

    assert "admin/queue" in [queue.name async for queue in administration.list_queues()]
    await administration.delete_queue("admin/queue")
    with pytest.raises(ResourceNotFoundError):
        await administration.get_queue("admin/queue")


async def test_a_topic_with_its_subscriptions_is_created_read_changed_listed_and_deleted(
    administration: ServiceBusAdministrationClient,
) -> None:
    topic = await administration.create_topic("admin.topic", default_message_time_to_live=timedelta(minutes=5))
    topic.default_message_time_to_live = timedelta(minutes=6)
    await administration.update_topic(topic)
    subscription = await administration.create_subscription("admin.topic", "reader", max_delivery_count=2)
    subscription.lock_duration = timedelta(seconds=10)
    await administration.update_subscription("admin.topic", subscription)

    assert (await administration.get_topic("admin.topic")).default_message_time_to_live == timedelta(minutes=6)
    read = await administration.get_subscription("admin.topic", "reader")
    assert (read.max_delivery_count, read.lock_duration) == (2, timedelta(seconds=10))
    assert (await administration.get_topic_runtime_properties("admin.topic")).subscription_count == 1
    assert "admin.topic" in [each.name async for each in administration.list_topics()]

    await administration.delete_topic("admin.topic")
    with pytest.raises(ResourceNotFoundError):
        await administration.get_subscription("admin.topic", "reader")
    with pytest.raises(ResourceNotFoundError):
        await administration.get_topic("admin.topic")


async def test_rules_are_created_read_changed_listed_and_deleted(
    administration: ServiceBusAdministrationClient,
) -> None:
    await administration.create_topic("admin.rules")
    await administration.create_subscription("admin.rules", "s")
    await administration.create_rule("admin.rules", "s", "sql", filter=SqlRuleFilter("a = @a", {"@a": 5}))
    await administration.create_rule("admin.rules", "s", "none", filter=FalseRuleFilter())
    values: dict[str, Any] = {"text": "ü<", "number": 1, "big": 2**40, "fraction": 0.5, "truth": True}
    await administration.create_rule(
        "admin.rules", "s", "correlation", filter=CorrelationRuleFilter(label="L", properties=values)
    )

    assert [rule.name async for rule in administration.list_rules("admin.rules", "s")] == [
        "$Default",
        "sql",
        "none",
        "correlation",
    ]
    sql: Any = await administration.get_rule("admin.rules", "s", "sql")
    assert (sql.filter.sql_expression, dict(sql.filter.parameters)) == ("a = @a", {"@a": 5})
    correlation: Any = await administration.get_rule("admin.rules", "s", "correlation")
    assert (correlation.filter.label, dict(correlation.filter.properties)) == ("L", values)

    sql.filter = SqlRuleFilter("a = 6")
    await administration.update_rule("admin.rules", "s", sql)
    await administration.delete_rule("admin.rules", "s", "$Default")
    sql = await administration.get_rule("admin.rules", "s", "sql")
    assert sql.filter.sql_expression == "a = 6"
    with pytest.raises(ResourceNotFoundError):
        await administration.get_rule("admin.rules", "s", "$Default")
    with pytest.raises(ResourceNotFoundError):
        await administration.delete_rule("admin.rules", "s", "$Default")


async def test_a_rule_takes_effect_at_once(
    administration: ServiceBusAdministrationClient, bus: Bus, reading: Reading, own_emulator: EmulatorProcess
) -> None:
    await administration.create_topic("admin.effect")
    await administration.create_subscription("admin.effect", "s")
    await administration.delete_rule("admin.effect", "s", "$Default")
    sender = await bus.topic_sender("admin.effect")
    await sender.send_messages(ServiceBusMessage(b"nobody wants it"))
    await administration.create_rule(
        "admin.effect", "s", "large", filter=SqlRuleFilter("size > @limit", {"@limit": 10})
    )
    await sender.send_messages(ServiceBusMessage(b"small", application_properties={"size": 10}))
    await sender.send_messages(ServiceBusMessage(b"large", application_properties={"size": 11}))

    receiver = await bus.receiver("admin.effect", "s")
    message = await reading.take_one(receiver)
    await receiver.complete_message(message)

    assert reading.body(message) == b"large"
    assert await reading.left(receiver) == []


async def test_messages_are_counted_by_state(
    administration: ServiceBusAdministrationClient, bus: Bus, reading: Reading, in_seconds: Callable[[float], datetime]
) -> None:
    await administration.create_queue("admin.counts")
    sender, receiver = await bus.sender("admin.counts"), await bus.receiver("admin.counts")
    await sender.send_messages([ServiceBusMessage(b"x") for _ in range(5)])
    dead, deferred = await reading.take(receiver, 2)
    await receiver.dead_letter_message(dead)
    await receiver.defer_message(deferred)
    await sender.schedule_messages(ServiceBusMessage(b"x"), in_seconds(3600))

    counts = await administration.get_queue_runtime_properties("admin.counts")

    assert counts.active_message_count == 4
    assert counts.dead_letter_message_count == 1
    assert counts.scheduled_message_count == 1
    assert counts.total_message_count == 6


async def test_lists_come_in_pages(administration: ServiceBusAdministrationClient) -> None:
    names = [f"admin.page.{n}" for n in range(5)]
    for name in names:
        await administration.create_queue(name)

    listed = [queue.name async for queue in administration.list_queues(max_page_size=2)]

    assert [name for name in listed if name.startswith("admin.page.")] == names


async def test_an_entity_is_not_created_twice(administration: ServiceBusAdministrationClient) -> None:
    await administration.create_queue("admin.twice")

    with pytest.raises(ResourceExistsError):
        await administration.create_queue("Admin.Twice")
    with pytest.raises(ResourceExistsError):
        await administration.create_topic("admin.twice")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"lock_duration": "PT6M"}, "LockDuration is 360000 ms"),
        ({"max_delivery_count": 0}, "MaxDeliveryCount is 0"),
        ({"requires_session": True}, "RequiresSession is not supported"),
        ({"forward_to": "elsewhere"}, "Forwarding is not supported"),
        ({"duplicate_detection_history_time_window": "PT1S"}, "DuplicateDetectionHistoryTimeWindow is 1000 ms"),
    ],
)
async def test_a_setting_that_cannot_be_had_is_refused_by_name(
    administration: ServiceBusAdministrationClient, settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(HttpResponseError, match=complaint) as failure:
        await administration.create_queue("admin.invalid", **settings)

    assert failure.value.status_code == 400
    with pytest.raises(ResourceNotFoundError):
        await administration.get_queue("admin.invalid")


async def test_a_bad_filter_is_refused_with_the_place_of_the_error(
    administration: ServiceBusAdministrationClient,
) -> None:
    await administration.create_topic("admin.filters")
    await administration.create_subscription("admin.filters", "s")

    with pytest.raises(HttpResponseError, match=r"expected a property, a constant or '\(' at character 9 of: price > "):
        await administration.create_rule("admin.filters", "s", "bad", filter=SqlRuleFilter("price > "))
    with pytest.raises(HttpResponseError, match="rule actions are not supported"):
        await administration.create_rule("admin.filters", "s", "acting", action=SqlRuleAction("SET a = 1"))


async def test_a_receiver_hears_that_its_queue_was_deleted(
    administration: ServiceBusAdministrationClient, bus: Bus, own_emulator: EmulatorProcess
) -> None:
    await administration.create_queue("admin.doomed")
    await bus.receiver("admin.doomed")
    await administration.delete_queue("admin.doomed")

    assert "admin.doomed" not in own_emulator.get("/counts")["entities"]

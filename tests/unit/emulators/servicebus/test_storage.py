"""The journal in SQLite: what comes back, and what happens when it cannot be written."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from libs.emulators.servicebus.broker.message import Message, MessageState
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.broker.rules import CorrelationFilter, RuleDescription, SqlFilter
from libs.emulators.servicebus.broker.settings import QueueSettings, SubscriptionSettings, TopicSettings
from libs.emulators.servicebus.storage import SqliteJournal, StorageError

from .conftest import ManualScheduler, RecordingConsumer


class Storage:
    """A file of messages that is opened, closed, and opened again."""

    def __init__(self, file: Path, scheduler: ManualScheduler) -> None:
        self.file = file
        self.scheduler = scheduler
        self.failures: list[StorageError] = []
        self.journal: SqliteJournal | None = None

    def open(self) -> Namespace:
        """Open the file, after closing it, and restore a namespace from it."""
        self.close()
        self.journal = SqliteJournal(self.file, self.failures.append)
        namespace = Namespace(self.scheduler, self.journal)
        self.journal.restore(namespace)
        return namespace

    def close(self) -> None:
        if self.journal is not None:
            self.journal.close()
            self.journal = None
            self.scheduler.forget()


@pytest.fixture
async def storage(tmp_path: Path, scheduler: ManualScheduler) -> AsyncIterator[Storage]:
    storage = Storage(tmp_path / "new" / "bus.sqlite", scheduler)
    yield storage
    storage.close()


async def test_entities_come_back_with_settings_and_rules(storage: Storage) -> None:
    namespace = storage.open()
    rules = [
        RuleDescription("sql", SqlFilter("a > @b", {"@b": 1.5}), 7),
        RuleDescription("correlation", CorrelationFilter(label="x", properties={"n": 1, "b": True})),
    ]
    queue_settings = QueueSettings(lock_duration_ms=9_000, default_ttl_ms=5_000, user_metadata="mine")
    namespace.create_queue("Orders/EU", queue_settings)
    namespace.create_topic("T", TopicSettings(default_ttl_ms=60_000, detects_duplicates=True))
    namespace.create_subscription("t", "S", SubscriptionSettings(max_delivery_count=3), rules)
    namespace.create_queue("gone", QueueSettings())
    namespace.delete("gone")

    again = storage.open()

    assert [queue.path for queue in again.queues.values()] == ["Orders/EU"]
    assert again.queues["orders/eu"].settings == queue_settings
    assert again.topics["t"].settings == TopicSettings(default_ttl_ms=60_000, detects_duplicates=True)
    subscription = again.topics["t"].subscriptions["s"]
    assert subscription.path == "T/Subscriptions/S"
    assert subscription.settings == SubscriptionSettings(max_delivery_count=3)
    assert subscription.rule_descriptions == rules


async def test_messages_come_back_as_they_were(
    storage: Storage, message: Callable[..., Message], consumer: Callable[..., RecordingConsumer]
) -> None:
    queue = storage.open().create_queue("q", QueueSettings(dead_letters_expired=True))
    reader = consumer(4)
    queue.messages.attach(reader)
    for message_id in ("deferred", "dead", "abandoned", "locked"):
        queue.publish(message(message_id, mine=message_id))
    queue.publish(message("expiring", ttl_ms=10_000))
    queue.publish(message("scheduled", delay_ms=10_000))
    deferred, dead, abandoned, _ = (each.lock_token for each in reader.messages)
    assert deferred is not None
    assert dead is not None
    assert abandoned is not None
    queue.messages.defer(deferred)
    queue.messages.dead_letter(dead, "r", "d")
    queue.messages.abandon(abandoned)
    before = {each.message_id: each.encode() for each in queue.messages.peek(1, 10) if each.lock_token is None}

    namespace = storage.open()

    restored = namespace.origin("q").peek(1, 10)
    assert [(each.message_id, each.state) for each in restored] == [
        ("deferred", MessageState.DEFERRED),
        ("abandoned", MessageState.ACTIVE),
        ("locked", MessageState.ACTIVE),
        ("expiring", MessageState.ACTIVE),
        ("scheduled", MessageState.SCHEDULED),
    ]
    assert {each.message_id: each.encode() for each in restored if each.message_id in before} == before
    (letter,) = namespace.origin("q/$deadletterqueue").peek(1, 10)
    assert letter.application_properties == {
        "mine": "dead",
        "DeadLetterReason": "r",
        "DeadLetterErrorDescription": "d",
    }

    storage.scheduler.advance(10_000)
    assert [each.message_id for each in namespace.origin("q").peek(1, 10)][-1] == "scheduled"
    assert [each.message_id for each in namespace.origin("q/$deadletterqueue").peek(1, 10)] == ["dead", "expiring"]


async def test_what_fell_due_while_it_was_closed_happens_after_it_opens(
    storage: Storage, message: Callable[..., Message]
) -> None:
    queue = storage.open().create_queue("q", QueueSettings())
    queue.publish(message("expired", ttl_ms=1_000))
    queue.publish(message("due", delay_ms=1_000))
    storage.close()
    storage.scheduler.advance(5_000)

    namespace = storage.open()
    storage.scheduler.advance(0)

    (due,) = namespace.origin("q").peek(1, 10)
    assert (due.message_id, due.state) == ("due", MessageState.ACTIVE)


async def test_sequence_numbers_never_repeat(storage: Storage, message: Callable[..., Message]) -> None:
    numbers = []
    storage.open().create_queue("q", QueueSettings())
    for _ in range(3):
        numbers.append(storage.open().destination("q").publish(message()) or 0)

    assert numbers == sorted(set(numbers))


async def test_a_topics_schedule_and_duplicates_come_back(storage: Storage, message: Callable[..., Message]) -> None:
    namespace = storage.open()
    topic = namespace.create_topic("t", TopicSettings(detects_duplicates=True))
    namespace.create_subscription("t", "s", SubscriptionSettings())
    topic.publish(message("seen"))
    kept = topic.publish(message("kept", delay_ms=1_000))
    cancelled = topic.publish(message("cancelled", delay_ms=1_000))
    assert kept is not None
    assert cancelled is not None
    topic.cancel_scheduled([cancelled])

    namespace = storage.open()
    assert namespace.destination("t").publish(message("seen")) is None
    storage.scheduler.advance(1_000)

    assert [each.message_id for each in namespace.origin("t/Subscriptions/s").peek(1, 10)] == ["seen", "kept"]
    assert namespace.topics["t"].scheduled_count == 0


async def test_deleting_an_entity_deletes_what_is_its_own_only(
    storage: Storage, message: Callable[..., Message]
) -> None:
    namespace = storage.open()
    namespace.create_topic("a", TopicSettings())
    namespace.create_subscription("a", "s", SubscriptionSettings())
    namespace.create_queue("a/b", QueueSettings())
    namespace.create_queue("a0", QueueSettings())
    for path in ("a", "a/b", "a0"):
        namespace.destination(path).publish(message(path))

    namespace.delete("a")
    namespace = storage.open()

    assert set(namespace.queues) == {"a/b", "a0"}
    assert namespace.topics == {}
    namespace.create_topic("a", TopicSettings())
    namespace.create_subscription("a", "s", SubscriptionSettings())
    assert namespace.origin("a/Subscriptions/s").peek(1, 10) == []
    assert [each.message_id for each in namespace.origin("a/b").peek(1, 10)] == ["a/b"]


async def test_a_journal_that_cannot_write_says_so_once_and_confirms_nothing_more(
    storage: Storage, message: Callable[..., Message]
) -> None:
    queue = storage.open().create_queue("q", QueueSettings())
    journal = storage.journal
    assert journal is not None
    journal.commit()
    broken = sqlite3.connect(":memory:")
    broken.close()
    journal._database, healthy = broken, journal._database

    for _ in range(2):
        with pytest.raises(StorageError, match="cannot write"):
            queue.publish(message())
        with pytest.raises(StorageError):
            journal.commit()

    assert len(storage.failures) == 1
    storage.journal = None
    healthy.close()


async def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "bus.sqlite"
    file.write_text("not a database at all" * 100)

    with pytest.raises(StorageError, match="give another directory with --data"):
        SqliteJournal(file, lambda _: None)


async def test_a_file_of_another_format_is_an_error(storage: Storage) -> None:
    storage.open()
    storage.close()
    with sqlite3.connect(storage.file) as database:
        database.execute("pragma user_version = 99")
    database.close()

    with pytest.raises(StorageError, match="has format 99, this emulator writes format 1"):
        storage.open()


async def test_a_damaged_message_is_an_error_that_names_the_file(
    storage: Storage, message: Callable[..., Message]
) -> None:
    storage.open().create_queue("q", QueueSettings()).publish(message())
    storage.close()
    with sqlite3.connect(storage.file) as database:
        database.execute("update message set content = x'40'")
    database.close()

    with pytest.raises(StorageError, match=r"bus\.sqlite is damaged"):
        storage.open()

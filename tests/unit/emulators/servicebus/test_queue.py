"""The state machine of a message in a queue, with time in the test's hand."""

import uuid
from collections.abc import Callable

import pytest

from libs.emulators.servicebus.broker.entities import Queue
from libs.emulators.servicebus.broker.errors import LockLostError, MessageNotFoundError, OperationNotAllowedError
from libs.emulators.servicebus.broker.message import Message, MessageState
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.broker.settings import QueueSettings

from .conftest import ManualScheduler, RecordingConsumer

LOCK_MS = 30_000


@pytest.fixture
def queue(namespace: Namespace) -> Queue:
    return namespace.create_queue("q", QueueSettings(lock_duration_ms=LOCK_MS, max_delivery_count=3))


Make = Callable[..., Message]
MakeConsumer = Callable[..., RecordingConsumer]


def test_messages_come_in_the_order_in_which_they_were_sent(
    queue: Queue, message: Make, consumer: MakeConsumer
) -> None:
    for message_id in ("a", "b", "c"):
        queue.publish(message(message_id))
    reader = consumer(2)

    queue.messages.attach(reader)

    assert reader.ids == ["a", "b"]
    assert [each.sequence_number for each in reader.messages] == [1, 2]


def test_credit_that_comes_later_is_used_by_the_next_pump(queue: Queue, message: Make, consumer: MakeConsumer) -> None:
    reader = consumer(0)
    queue.messages.attach(reader)
    queue.publish(message("a"))
    assert reader.messages == []

    reader.credit = 1
    queue.messages.pump()

    assert reader.ids == ["a"]


def test_consumers_with_credit_take_turns(queue: Queue, message: Make, consumer: MakeConsumer) -> None:
    first, broke, second = consumer(9), consumer(0), consumer(9)
    for reader in (first, broke, second):
        queue.messages.attach(reader)

    for message_id in range(6):
        queue.publish(message(str(message_id)))

    assert len(first.messages) == len(second.messages) == 3
    assert broke.messages == []


def test_a_detached_consumer_gets_nothing_more_and_keeps_its_locks(
    queue: Queue, message: Make, consumer: MakeConsumer
) -> None:
    reader = consumer(9)
    queue.messages.attach(reader)
    queue.publish(message("a"))

    queue.messages.detach(reader)
    queue.publish(message("b"))

    assert reader.ids == ["a"]
    queue.messages.complete(reader.last.lock_token)
    assert [each.message_id for each in queue.messages.peek(1, 10)] == ["b"]


def test_receive_and_delete_removes_before_it_delivers(queue: Queue, message: Make, consumer: MakeConsumer) -> None:
    reader = consumer(1, removes_on_delivery=True)
    queue.messages.attach(reader)

    queue.publish(message("a"))

    assert reader.last.lock_token is None
    assert queue.messages.peek(1, 10) == []


def test_a_lock_expires_on_time_and_the_delivery_counts(
    queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader = consumer(2)
    queue.messages.attach(reader)
    queue.publish(message("a"))
    token = reader.last.lock_token

    scheduler.advance(LOCK_MS - 1)
    assert reader.last.lock_token == token
    scheduler.advance(1)

    assert reader.ids == ["a", "a"]
    assert reader.last.delivery_count == 1
    with pytest.raises(LockLostError):
        queue.messages.complete(token)


def test_a_renewed_lock_lasts_from_the_renewal(
    queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader = consumer(9)
    queue.messages.attach(reader)
    queue.publish(message("a"))
    token = reader.last.lock_token

    scheduler.advance(LOCK_MS - 1000)
    assert queue.messages.renew(token) == scheduler.now_ms() + LOCK_MS
    scheduler.advance(LOCK_MS - 1)
    assert reader.last.lock_token == token
    scheduler.advance(1)

    assert reader.ids == ["a", "a"]


@pytest.mark.parametrize("operation", ["complete", "abandon", "release", "defer", "renew"])
def test_a_token_that_is_not_held_settles_nothing(queue: Queue, operation: str) -> None:
    with pytest.raises(LockLostError):
        getattr(queue.messages, operation)(uuid.uuid4())


def test_a_released_message_comes_again_as_if_for_the_first_time(
    queue: Queue, message: Make, consumer: MakeConsumer
) -> None:
    reader = consumer(2)
    queue.messages.attach(reader)
    queue.publish(message("a"))

    queue.messages.release(reader.last.lock_token)

    assert reader.ids == ["a", "a"]
    assert reader.last.delivery_count == 0


def test_an_abandoned_message_comes_before_those_that_were_sent_later(
    queue: Queue, message: Make, consumer: MakeConsumer
) -> None:
    reader = consumer(1)
    queue.messages.attach(reader)
    queue.publish(message("a"))
    queue.publish(message("b"))

    reader.credit = 1
    queue.messages.abandon(reader.messages[0].lock_token or uuid.uuid4())

    assert reader.ids == ["a", "a"]


def test_the_last_allowed_delivery_that_fails_makes_a_dead_letter(
    queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader, letters = consumer(9), consumer(9)
    queue.messages.attach(reader)
    queue.dead_letters.attach(letters)
    queue.publish(message("a", mine="kept"))

    queue.messages.abandon(reader.last.lock_token)
    scheduler.advance(LOCK_MS)
    queue.messages.abandon(reader.last.lock_token)

    assert reader.ids == ["a", "a", "a"]
    assert letters.last.application_properties == {
        "mine": "kept",
        "DeadLetterReason": "MaxDeliveryCountExceeded",
        "DeadLetterErrorDescription": "Message could not be consumed after 3 delivery attempts.",
    }
    assert letters.last.delivery_count == 3


def test_a_dead_letter_neither_expires_nor_is_counted_out_nor_dead_lettered_again(
    queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader, letters = consumer(1), consumer(99)
    queue.messages.attach(reader)
    queue.dead_letters.attach(letters)
    queue.publish(message("a", ttl_ms=60_000))
    queue.messages.dead_letter(reader.last.lock_token, "r", None)

    for _ in range(10):
        queue.dead_letters.abandon(letters.last.lock_token)
    scheduler.advance(10 * 60_000)

    assert letters.last.application_properties == {"DeadLetterReason": "r"}
    assert letters.last.lock_token is not None
    with pytest.raises(OperationNotAllowedError):
        queue.dead_letters.dead_letter(letters.last.lock_token, "again", None)


def test_a_dead_letter_keeps_the_time_at_which_it_was_enqueued(
    queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader = consumer(1)
    queue.messages.attach(reader)
    enqueued_ms = scheduler.now_ms()
    queue.publish(message("a"))
    scheduler.advance(5000)

    queue.messages.dead_letter(reader.last.lock_token, None, None)

    assert queue.dead_letters.peek(1, 1)[0].enqueued_ms == enqueued_ms


def test_a_deferred_message_waits_for_its_number(
    queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader = consumer(9)
    queue.messages.attach(reader)
    queue.publish(message("a"))
    queue.messages.defer(reader.last.lock_token)
    scheduler.advance(10 * LOCK_MS)
    assert reader.ids == ["a"]

    (fetched,) = queue.messages.receive_deferred([1], lock=True)
    assert fetched.state is MessageState.DEFERRED
    with pytest.raises(MessageNotFoundError):
        queue.messages.receive_deferred([1], lock=True)
    queue.messages.abandon(fetched.lock_token or uuid.uuid4())

    assert reader.ids == ["a"]
    (removed,) = queue.messages.receive_deferred([1, 1], lock=False)
    assert removed.delivery_count == 1
    assert queue.messages.peek(1, 10) == []


def test_fetching_deferred_messages_takes_all_or_none(queue: Queue, message: Make, consumer: MakeConsumer) -> None:
    reader = consumer(1)
    queue.messages.attach(reader)
    queue.publish(message("a"))
    queue.messages.defer(reader.last.lock_token)

    with pytest.raises(MessageNotFoundError, match="sequence number 99"):
        queue.messages.receive_deferred([1, 99], lock=False)

    assert len(queue.messages.receive_deferred([1], lock=False)) == 1


def test_the_shorter_of_both_times_to_live_counts(
    namespace: Namespace, message: Make, scheduler: ManualScheduler
) -> None:
    queue = namespace.create_queue("mortal", QueueSettings(default_ttl_ms=10_000))
    for message_id, ttl_ms in (("short", 5_000), ("default", None), ("long", 20_000)):
        queue.publish(message(message_id, ttl_ms=ttl_ms))

    scheduler.advance(5_000)
    assert [each.message_id for each in queue.messages.peek(1, 10)] == ["default", "long"]
    scheduler.advance(5_000)

    assert queue.messages.peek(1, 10) == []
    assert queue.dead_letters.peek(1, 10) == []


def test_an_expired_message_becomes_a_dead_letter_if_the_queue_says_so(
    namespace: Namespace, message: Make, scheduler: ManualScheduler
) -> None:
    queue = namespace.create_queue("mortal", QueueSettings(dead_letters_expired=True))
    queue.publish(message("a", ttl_ms=1_000))

    scheduler.advance(1_000)

    (dead,) = queue.dead_letters.peek(1, 10)
    assert dead.application_properties["DeadLetterReason"] == "TTLExpiredException"


def test_a_locked_message_expires_only_when_it_is_given_back(
    queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader = consumer(2)
    queue.messages.attach(reader)
    queue.publish(message("done", ttl_ms=1_000))
    queue.publish(message("given back", ttl_ms=1_000))
    scheduler.advance(2_000)

    queue.messages.complete(reader.messages[0].lock_token or uuid.uuid4())
    queue.messages.abandon(reader.messages[1].lock_token or uuid.uuid4())

    assert len(reader.messages) == 2
    assert queue.messages.peek(1, 10) == []


def test_a_deferred_message_expires_when_somebody_asks_for_it(
    queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader = consumer(1)
    queue.messages.attach(reader)
    queue.publish(message("a", ttl_ms=1_000))
    queue.messages.defer(reader.last.lock_token)
    scheduler.advance(5_000)
    assert len(queue.messages.peek(1, 10)) == 1

    with pytest.raises(MessageNotFoundError):
        queue.messages.receive_deferred([1], lock=True)

    assert queue.messages.peek(1, 10) == []


def test_a_scheduled_message_is_enqueued_on_time_and_lives_from_then(
    queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader = consumer(9)
    queue.messages.attach(reader)
    scheduled = queue.publish(message("a", delay_ms=60_000, ttl_ms=1_000))

    scheduler.advance(59_999)
    assert reader.messages == []
    assert [each.state for each in queue.messages.peek(1, 10)] == [MessageState.SCHEDULED]
    scheduler.advance(1)

    assert reader.last.sequence_number != scheduled
    assert reader.last.enqueued_ms == scheduler.now_ms()
    assert reader.last.expires_ms == scheduler.now_ms() + 1_000


def test_a_time_that_is_past_schedules_nothing(queue: Queue, message: Make, consumer: MakeConsumer) -> None:
    reader = consumer(1)
    queue.messages.attach(reader)

    queue.publish(message("a", delay_ms=-1))

    assert reader.ids == ["a"]


def test_cancelling_takes_all_or_none(queue: Queue, message: Make, scheduler: ManualScheduler) -> None:
    numbers = [queue.publish(message(str(n), delay_ms=1_000)) or 0 for n in range(3)]

    with pytest.raises(MessageNotFoundError):
        queue.cancel_scheduled([numbers[0], 99])
    queue.cancel_scheduled([numbers[0], numbers[2]])
    scheduler.advance(1_000)

    assert [each.message_id for each in queue.messages.peek(1, 10)] == ["1"]


def test_all_locks_expire_on_order(queue: Queue, message: Make, consumer: MakeConsumer) -> None:
    reader = consumer(2)
    queue.messages.attach(reader)
    queue.publish(message("a"))
    queue.publish(message("b"))

    assert queue.messages.expire_locks() == 2

    assert queue.messages.locked_count == 0
    assert [each.delivery_count for each in queue.messages.peek(1, 10)] == [1, 1]


def test_settled_messages_leave_no_timer_behind(
    queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader = consumer(99)
    queue.messages.attach(reader)
    for n in range(10):
        queue.publish(message(str(n), ttl_ms=3_600_000))

    for each in list(reader.messages):
        queue.messages.complete(each.lock_token or uuid.uuid4())

    assert scheduler.pending == 0


def test_a_deleted_queue_tells_its_consumers_and_stops_its_timers(
    namespace: Namespace, queue: Queue, message: Make, consumer: MakeConsumer, scheduler: ManualScheduler
) -> None:
    reader = consumer(1)
    queue.messages.attach(reader)
    queue.publish(message("locked", ttl_ms=1_000))
    queue.publish(message("later", delay_ms=1_000))

    namespace.delete("q")

    assert reader.deleted_path == "q"
    assert scheduler.pending == 0


def test_duplicates_within_the_window_are_dropped_and_after_it_are_not(
    namespace: Namespace, message: Make, scheduler: ManualScheduler
) -> None:
    queue = namespace.create_queue("strict", QueueSettings(detects_duplicates=True, duplicate_window_ms=20_000))

    first = queue.publish(message("a"))
    scheduler.advance(19_999)
    repeat = queue.publish(message("a"))
    scheduler.advance(1)
    again = queue.publish(message("a"))

    assert (first, repeat, again) == (1, None, 2)


def test_ids_of_different_types_and_messages_without_id_are_no_duplicates(namespace: Namespace, message: Make) -> None:
    queue = namespace.create_queue("strict", QueueSettings(detects_duplicates=True))

    assert [queue.publish(message(each)) for each in ("1", 1, None, None)] == [1, 2, 3, 4]

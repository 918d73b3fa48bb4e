"""Topics, rules and the life of entities."""

from collections.abc import Callable

import pytest

from libs.emulators.servicebus.broker.errors import (
    EntityExistsError,
    EntityNotFoundError,
    InvalidEntityError,
    MessageNotFoundError,
    OperationNotAllowedError,
)
from libs.emulators.servicebus.broker.message import Message
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.broker.rules import (
    CorrelationFilter,
    FalseFilter,
    Filter,
    Rule,
    RuleDescription,
    SqlFilter,
    TrueFilter,
)
from libs.emulators.servicebus.broker.settings import QueueSettings, SubscriptionSettings, TopicSettings

from .conftest import ManualScheduler

Make = Callable[..., Message]


def subscribe(namespace: Namespace, name: str, *filters: Filter) -> None:
    rules = [RuleDescription(f"rule-{n}", each) for n, each in enumerate(filters)]
    namespace.create_subscription("t", name, SubscriptionSettings(), rules)


def ids(namespace: Namespace, name: str) -> list[str]:
    return [each.message_id for each in namespace.origin(f"t/Subscriptions/{name}").peek(1, 100)]


@pytest.fixture
def topic(namespace: Namespace) -> Namespace:
    """A namespace with the topic t."""
    namespace.create_topic("t", TopicSettings(default_ttl_ms=60_000))
    return namespace


def test_a_topic_gives_each_subscription_what_any_of_its_rules_wants(topic: Namespace, message: Make) -> None:
    subscribe(topic, "all", TrueFilter())
    subscribe(topic, "none", FalseFilter())
    subscribe(topic, "ruleless")
    subscribe(topic, "big", SqlFilter("size > @limit", {"@limit": 5}))
    subscribe(topic, "either", CorrelationFilter(label="view"), SqlFilter("size = 1"))

    for message_id, label, size in (("a", "view", 1), ("b", "cart", 9)):
        topic.destination("t").publish(message(message_id, label=label, size=size))

    assert ids(topic, "all") == ["a", "b"]
    assert ids(topic, "none") == ids(topic, "ruleless") == []
    assert ids(topic, "big") == ["b"]
    assert ids(topic, "either") == ["a"]


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (CorrelationFilter(message_id="m"), True),
        (CorrelationFilter(message_id="M"), False),
        (CorrelationFilter(correlation_id="c", label="view"), True),
        (CorrelationFilter(correlation_id="c", label="cart"), False),
        (CorrelationFilter(to="somewhere"), False),
        (CorrelationFilter(properties={"Size": 5}), True),
        (CorrelationFilter(properties={"size": 5.0}), True),
        (CorrelationFilter(properties={"size": "5"}), False),
        (CorrelationFilter(properties={"flag": True, "size": 5}), True),
        (CorrelationFilter(properties={"flag": 1}), False),
        (CorrelationFilter(properties={"absent": "x"}), False),
    ],
)
def test_a_correlation_filter_compares_exactly(
    topic: Namespace, message: Make, wanted: CorrelationFilter, matches: bool
) -> None:
    subscribe(topic, "s", wanted)

    topic.destination("t").publish(message("m", label="view", correlation_id="c", size=5, flag=True))

    assert ids(topic, "s") == ["m"] * matches


def test_copies_live_their_own_lives_under_one_number_of_the_topic(topic: Namespace, message: Make) -> None:
    subscribe(topic, "one", TrueFilter())
    subscribe(topic, "two", TrueFilter())

    topic.destination("t").publish(message("a"))
    (first,) = topic.origin("t/subscriptions/one").peek(1, 1)
    (second,) = topic.origin("t/subscriptions/two").peek(1, 1)
    first.delivery_count = 5

    assert second.delivery_count == 0
    assert first.enqueued_sequence_number == second.enqueued_sequence_number == 1


def test_a_topic_caps_the_time_to_live(topic: Namespace, message: Make) -> None:
    subscribe(topic, "s", TrueFilter())

    topic.destination("t").publish(message("a", ttl_ms=10 * 60_000))

    assert topic.origin("t/Subscriptions/s").peek(1, 1)[0].ttl_ms == 60_000


def test_a_scheduled_message_meets_the_rules_of_the_time_when_it_is_due(
    topic: Namespace, message: Make, scheduler: ManualScheduler
) -> None:
    number = topic.destination("t").publish(message("a", delay_ms=1_000))
    cancelled = topic.destination("t").publish(message("b", delay_ms=1_000))
    assert number is not None
    assert cancelled is not None
    subscribe(topic, "late", TrueFilter())
    topic.destination("t").cancel_scheduled([cancelled])

    scheduler.advance(1_000)

    assert ids(topic, "late") == ["a"]
    with pytest.raises(MessageNotFoundError):
        topic.destination("t").cancel_scheduled([number])


def test_names_are_not_case_sensitive_and_are_kept_as_given(namespace: Namespace) -> None:
    namespace.create_queue("Orders/EU", QueueSettings())

    assert namespace.find("orders/eu").path == "Orders/EU"
    with pytest.raises(EntityExistsError):
        namespace.create_topic("ORDERS/EU", TopicSettings())


def test_every_entity_says_what_can_be_done_with_it(topic: Namespace) -> None:
    subscribe(topic, "s", TrueFilter())

    for path in ("t/Subscriptions/s", "t/Subscriptions/s/$DeadLetterQueue"):
        topic.origin(path)
        with pytest.raises(OperationNotAllowedError, match="Nothing can be sent"):
            topic.destination(path)
    with pytest.raises(OperationNotAllowedError, match="receive from a subscription"):
        topic.origin("t")
    for path in ("nothing", "t/Subscriptions/nothing", "nothing/Subscriptions/s"):
        with pytest.raises(EntityNotFoundError, match=path):
            topic.find(path)


def test_deleting_a_topic_takes_its_subscriptions_along(topic: Namespace) -> None:
    subscribe(topic, "s", TrueFilter())

    topic.delete("t")

    with pytest.raises(EntityNotFoundError):
        topic.find("t/Subscriptions/s")
    assert topic.inboxes() == []


def test_a_subscription_needs_a_topic_and_a_name_of_its_own(topic: Namespace) -> None:
    subscribe(topic, "s", TrueFilter())

    with pytest.raises(EntityExistsError):
        subscribe(topic, "S", TrueFilter())
    with pytest.raises(EntityNotFoundError):
        topic.create_subscription("elsewhere", "s", SubscriptionSettings())


@pytest.mark.parametrize(
    "description",
    [
        RuleDescription("bad name"),
        RuleDescription("r", SqlFilter("price >")),
        RuleDescription("r", SqlFilter("price > @limit")),
        RuleDescription("r", CorrelationFilter()),
    ],
)
def test_a_rule_that_could_never_work_is_refused(description: RuleDescription) -> None:
    with pytest.raises(InvalidEntityError):
        Rule(description)


@pytest.mark.parametrize("name", ["", "/q", "q/", "a//b", "a b", "a/subscriptions/b", "x" * 261, "$q"])
def test_a_name_that_azure_does_not_take_is_refused(namespace: Namespace, name: str) -> None:
    with pytest.raises(InvalidEntityError):
        namespace.create_queue(name, QueueSettings())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (QueueSettings(lock_duration_ms=4_999), "LockDuration"),
        (QueueSettings(lock_duration_ms=300_001), "LockDuration"),
        (QueueSettings(max_delivery_count=2_001), "MaxDeliveryCount"),
        (QueueSettings(default_ttl_ms=999), "DefaultMessageTimeToLive"),
        (QueueSettings(duplicate_window_ms=19_999), "DuplicateDetectionHistoryTimeWindow"),
    ],
)
def test_a_setting_that_azure_does_not_take_is_refused(
    namespace: Namespace, settings: QueueSettings, complaint: str
) -> None:
    with pytest.raises(InvalidEntityError, match=complaint):
        namespace.create_queue("q", settings)

    assert namespace.queues == {}

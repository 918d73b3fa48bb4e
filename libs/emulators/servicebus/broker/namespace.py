"""The namespace: all entities, found by path, created, changed and deleted."""

from collections.abc import Sequence

import msgspec

from .entities import DEAD_LETTER_SUFFIX, Queue, Subscription, Topic
from .errors import EntityExistsError, EntityNotFoundError, OperationNotAllowedError
from .journal import ForgetfulJournal, Journal
from .queue import MessageQueue
from .rules import DEFAULT_RULE, Rule, RuleDescription
from .scheduler import Scheduler
from .settings import (
    QueueSettings,
    SubscriptionSettings,
    TopicSettings,
    check_entity_name,
    check_subscription_name,
)

Entity = Queue | Topic | Subscription
_SUBSCRIPTIONS = "/subscriptions/"


class SubscriptionDescription(msgspec.Struct, frozen=True):
    """A subscription as the journal keeps it."""

    settings: SubscriptionSettings
    rules: list[RuleDescription]


class Namespace:
    """Every entity of the emulator. Paths are not case-sensitive."""

    def __init__(self, scheduler: Scheduler, journal: Journal | None = None) -> None:
        self.scheduler = scheduler
        self._journal: Journal = journal or ForgetfulJournal()
        self.queues: dict[str, Queue] = {}
        self.topics: dict[str, Topic] = {}

    # Finding

    def find(self, path: str) -> Entity:
        """Return the entity with a path. Raises EntityNotFoundError."""
        key = path.lower()
        topic_key, _, subscription_key = key.partition(_SUBSCRIPTIONS)
        if subscription_key:
            topic = self.topics.get(topic_key)
            entity: Entity | None = topic.subscriptions.get(subscription_key) if topic is not None else None
        else:
            entity = self.queues.get(key) or self.topics.get(key)
        if entity is None:
            raise EntityNotFoundError(path)
        return entity

    def destination(self, path: str) -> Queue | Topic:
        """Return what messages can be sent to. Raises EntityNotFoundError or OperationNotAllowedError."""
        if path.lower().endswith(DEAD_LETTER_SUFFIX):
            raise OperationNotAllowedError(f"Nothing can be sent to the dead-letter queue '{path}'.")
        entity = self.find(path)
        if isinstance(entity, Subscription):
            raise OperationNotAllowedError(f"Nothing can be sent to the subscription '{path}'; send to its topic.")
        return entity

    def origin(self, path: str) -> MessageQueue:
        """Return what messages can be received from. Raises EntityNotFoundError or OperationNotAllowedError."""
        is_dead_letters = path.lower().endswith(DEAD_LETTER_SUFFIX)
        entity = self.find(path[: -len(DEAD_LETTER_SUFFIX)] if is_dead_letters else path)
        if isinstance(entity, Topic):
            raise OperationNotAllowedError(
                f"Nothing can be received from the topic '{path}'; receive from a subscription."
            )
        return entity.dead_letters if is_dead_letters else entity.messages

    def inboxes(self) -> list[Queue | Subscription]:
        """Return every entity that messages can be received from."""
        subscriptions = (each for topic in self.topics.values() for each in topic.subscriptions.values())
        return [*self.queues.values(), *subscriptions]

    # Creating and changing; each raises InvalidEntityError for values that Service Bus would not take

    def create_queue(self, name: str, settings: QueueSettings) -> Queue:
        """Create a queue. Raises EntityExistsError."""
        self._check_free(name)
        queue = self.queues[name.lower()] = Queue(name, settings.checked(), self.scheduler, self._journal)
        self.save(queue)
        return queue

    def create_topic(self, name: str, settings: TopicSettings) -> Topic:
        """Create a topic. Raises EntityExistsError."""
        self._check_free(name)
        topic = self.topics[name.lower()] = Topic(name, settings.checked(), self.scheduler, self._journal)
        self.save(topic)
        return topic

    def create_subscription(
        self,
        topic_name: str,
        name: str,
        settings: SubscriptionSettings,
        rules: Sequence[RuleDescription] = (RuleDescription(DEFAULT_RULE),),
    ) -> Subscription:
        """Create a subscription, with a rule that matches everything unless others are given.

        Raises EntityExistsError.
        """
        topic = self.topics.get(topic_name.lower())
        if topic is None:
            raise EntityNotFoundError(topic_name)
        check_subscription_name(name)
        subscription = Subscription(topic, name, settings.checked(), self.scheduler, self._journal)
        if name.lower() in topic.subscriptions:
            raise EntityExistsError(subscription.path)
        for rule in rules:
            subscription.add_rule(Rule(rule))
        topic.subscriptions[name.lower()] = subscription
        self.save(subscription)
        return subscription

    def save(self, entity: Entity) -> None:
        """Have the journal record an entity's settings and rules; call it after every change."""
        kind = type(entity).__name__.lower()
        description: object = entity.settings
        if isinstance(entity, Subscription):
            description = SubscriptionDescription(entity.settings, entity.rule_descriptions)
        self._journal.save_entity(entity.path, kind, msgspec.json.encode(description))

    def delete(self, path: str) -> None:
        """Delete an entity with its messages, a topic with its subscriptions. Raises EntityNotFoundError."""
        entity = self.find(path)
        if isinstance(entity, Subscription):
            del entity.topic.subscriptions[entity.name.lower()]
        elif isinstance(entity, Topic):
            del self.topics[entity.name.lower()]
        else:
            del self.queues[entity.name.lower()]
        entity.close()
        self._journal.delete_entity(entity.path)

    def _check_free(self, name: str) -> None:
        check_entity_name(name)
        if name.lower() in self.queues or name.lower() in self.topics:
            raise EntityExistsError(name)

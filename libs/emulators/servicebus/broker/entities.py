"""Queues, topics and subscriptions: what has a name, settings, and counts."""

from collections.abc import Iterable
from functools import partial

from .duplicates import DuplicateHistory
from .errors import EntityExistsError, EntityNotFoundError, MessageNotFoundError
from .journal import Journal
from .message import Message, MessageState
from .queue import MessageQueue
from .rules import MessageProperties, Rule, RuleDescription
from .scheduler import Scheduler, Timer
from .sequence import SequenceNumbers
from .settings import DeliverySettings, QueueSettings, SubscriptionSettings, TopicSettings

DEAD_LETTER_SUFFIX = "/$deadletterqueue"


class _Inbox:
    """A message queue and its dead-letter queue under one name."""

    def __init__(
        self, name: str, path: str, settings: DeliverySettings, scheduler: Scheduler, journal: Journal
    ) -> None:
        self.name = name
        self.path = path
        self.created_ms = self.updated_ms = scheduler.now_ms()
        key = path.lower()
        self.dead_letters = MessageQueue(
            path=key + DEAD_LETTER_SUFFIX, settings=settings, scheduler=scheduler, journal=journal
        )
        self.messages = MessageQueue(
            path=key, settings=settings, scheduler=scheduler, journal=journal, dead_letters=self.dead_letters
        )

    def close(self) -> None:
        """End both queues."""
        self.messages.close()
        self.dead_letters.close()

    def _set_settings(self, settings: DeliverySettings, now_ms: int) -> None:
        self.messages.settings = self.dead_letters.settings = settings
        self.updated_ms = now_ms


class Queue(_Inbox):
    """A queue."""

    def __init__(self, name: str, settings: QueueSettings, scheduler: Scheduler, journal: Journal) -> None:
        super().__init__(name, name, settings, scheduler, journal)
        self.settings = settings
        self.duplicates = DuplicateHistory(name.lower(), scheduler, journal)
        self._scheduler = scheduler

    def publish(self, message: Message) -> int | None:
        """Take a message, to be delivered at its scheduled time if it has one.

        Return its sequence number, None for a duplicate.
        """
        if self.settings.detects_duplicates and self.duplicates.is_duplicate(
            message.message_id, self.settings.duplicate_window_ms
        ):
            return None
        if message.scheduled_ms is not None and message.scheduled_ms > self._scheduler.now_ms():
            return self.messages.schedule(message, message.scheduled_ms)
        return self.messages.enqueue(message)

    def cancel_scheduled(self, sequence_numbers: Iterable[int]) -> None:
        """Remove scheduled messages. Raises MessageNotFoundError, and removes none, when one is not there."""
        self.messages.cancel_scheduled(list(sequence_numbers))

    def update(self, settings: QueueSettings) -> None:
        """Change the settings; messages that are there keep their time to live."""
        self.settings = settings
        self._set_settings(settings, self._scheduler.now_ms())


class Subscription(_Inbox):
    """A subscription of a topic. ``rules`` by name in lower case; without any, no message comes in."""

    def __init__(
        self, topic: "Topic", name: str, settings: SubscriptionSettings, scheduler: Scheduler, journal: Journal
    ) -> None:
        super().__init__(name, f"{topic.path}/Subscriptions/{name}", settings, scheduler, journal)
        self.topic = topic
        self.settings = settings
        self.rules: dict[str, Rule] = {}
        self._scheduler = scheduler

    def wants(self, properties: MessageProperties) -> bool:
        """Tell whether any rule matches."""
        return any(rule.matches(properties) for rule in self.rules.values())

    def rule(self, name: str) -> Rule:
        """Return a rule. Raises EntityNotFoundError."""
        try:
            return self.rules[name.lower()]
        except KeyError as error:
            raise EntityNotFoundError(f"{self.path}/Rules/{name}") from error

    def add_rule(self, rule: Rule) -> None:
        """Add a rule. Raises EntityExistsError."""
        if rule.description.name.lower() in self.rules:
            raise EntityExistsError(f"{self.path}/Rules/{rule.description.name}")
        self.rules[rule.description.name.lower()] = rule

    def update(self, settings: SubscriptionSettings) -> None:
        """Change the settings; messages that are there keep their time to live."""
        self.settings = settings
        self._set_settings(settings, self._scheduler.now_ms())

    @property
    def rule_descriptions(self) -> list[RuleDescription]:
        """The rules as they were given."""
        return [rule.description for rule in self.rules.values()]


class Topic:
    """A topic: hands each message to the subscriptions that want it, and keeps scheduled ones until they are due."""

    def __init__(self, name: str, settings: TopicSettings, scheduler: Scheduler, journal: Journal) -> None:
        self.name = self.path = name
        self.settings = settings
        self.subscriptions: dict[str, Subscription] = {}
        self.created_ms = self.updated_ms = scheduler.now_ms()
        self.duplicates = DuplicateHistory(name.lower(), scheduler, journal)
        self._key = name.lower()
        self._scheduler = scheduler
        self._journal = journal
        self._sequence = SequenceNumbers(self._key, journal)
        self._scheduled: dict[int, tuple[Message, Timer]] = {}

    @property
    def scheduled_count(self) -> int:
        """How many messages wait for their time."""
        return len(self._scheduled)

    def publish(self, message: Message) -> int | None:
        """Take a message, to be handed out at its scheduled time if it has one.

        Return its sequence number, None for a duplicate.
        """
        if self.settings.detects_duplicates and self.duplicates.is_duplicate(
            message.message_id, self.settings.duplicate_window_ms
        ):
            return None
        message.sequence_number = self._sequence.take()
        if message.scheduled_ms is not None and message.scheduled_ms > self._scheduler.now_ms():
            message.state = MessageState.SCHEDULED
            self._journal.insert_message(self._key, message)
            self._wait(message)
            return message.sequence_number
        self._hand_out(message)
        return message.sequence_number

    def cancel_scheduled(self, sequence_numbers: Iterable[int]) -> None:
        """Remove scheduled messages. Raises MessageNotFoundError, and removes none, when one is not there."""
        wanted = list(dict.fromkeys(sequence_numbers))
        for number in wanted:
            if number not in self._scheduled:
                raise MessageNotFoundError(number, "scheduled")
        for number in wanted:
            _, timer = self._scheduled.pop(number)
            timer.cancel()
            self._journal.delete_message(self._key, number)

    def restore(self, scheduled: Iterable[Message], next_sequence_number: int) -> None:
        """Take over what a journal kept."""
        self._sequence = SequenceNumbers(self._key, self._journal, next_sequence_number)
        for message in scheduled:
            self._wait(message)

    def update(self, settings: TopicSettings) -> None:
        """Change the settings; messages that are there keep their time to live."""
        self.settings = settings
        self.updated_ms = self._scheduler.now_ms()

    def close(self) -> None:
        """End the topic and its subscriptions."""
        for _, timer in self._scheduled.values():
            timer.cancel()
        for subscription in self.subscriptions.values():
            subscription.close()

    def _wait(self, message: Message) -> None:
        timer = self._scheduler.call_at(message.scheduled_ms or 0, partial(self._activate, message))
        self._scheduled[message.sequence_number] = message, timer

    def _activate(self, message: Message) -> None:
        del self._scheduled[message.sequence_number]
        self._journal.delete_message(self._key, message.sequence_number)
        message.sequence_number = self._sequence.take()
        self._hand_out(message)

    def _hand_out(self, message: Message) -> None:
        properties = MessageProperties(message)
        default_ttl_ms = self.settings.default_ttl_ms
        if default_ttl_ms is not None and (message.ttl_ms is None or message.ttl_ms > default_ttl_ms):
            message.ttl_ms = default_ttl_ms
        for subscription in self.subscriptions.values():
            if subscription.wants(properties):
                copy = message.copy()
                copy.enqueued_sequence_number = message.sequence_number
                subscription.messages.enqueue(copy)

"""Entities from a file in the format of the Config.json of Microsoft's Service Bus emulator.

https://learn.microsoft.com/azure/service-bus-messaging/test-locally-with-service-bus-emulator shows the format.
Settings that this emulator does not know are ignored; those that would change behaviour and are not supported are
refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from .amqp.errors import AmqpError
from .broker.entities import Queue, Subscription, Topic
from .broker.errors import EntityNotFoundError, InvalidEntityError
from .broker.namespace import Entity, Namespace
from .broker.rules import DEFAULT_RULE, Filter, FilterValue, Rule, RuleDescription, SqlFilter, TrueFilter
from .properties import (
    CorrelationProperties,
    Properties,
    QueueProperties,
    TopicProperties,
    queue_settings,
    subscription_settings,
    topic_settings,
)


class TopologyError(Exception):
    """The topology file cannot be used; the message says which entity and what to change."""


class _SqlFilter(Properties, frozen=True):
    sql_expression: str
    parameters: dict[str, FilterValue] = msgspec.field(default_factory=dict)


class _RuleProperties(Properties, frozen=True):
    filter_type: str = "True"
    sql_filter: _SqlFilter | None = None
    correlation_filter: CorrelationProperties | None = None
    action: Any = None


class _Rule(Properties, frozen=True):
    name: str
    properties: _RuleProperties = _RuleProperties()


class _Subscription(Properties, frozen=True):
    name: str
    properties: QueueProperties = QueueProperties()
    rules: tuple[_Rule, ...] = ()


class _Topic(Properties, frozen=True):
    name: str
    properties: TopicProperties = TopicProperties()
    subscriptions: tuple[_Subscription, ...] = ()


class _Queue(Properties, frozen=True):
    name: str
    properties: QueueProperties = QueueProperties()


class _Namespace(Properties, frozen=True):
    name: str
    queues: tuple[_Queue, ...] = ()
    topics: tuple[_Topic, ...] = ()


class _UserConfig(Properties, frozen=True):
    namespaces: tuple[_Namespace, ...]


class Topology(Properties, frozen=True):
    """The content of the file."""

    user_config: _UserConfig


def load_topology(file: Path) -> Topology:
    """Read a topology file. Raises TopologyError when it is missing, no JSON, or not of the format."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Topology)
    except OSError as error:
        raise TopologyError(f"cannot read the topology {file}: {error.strerror}; name one with --topology") from error
    except msgspec.DecodeError as error:
        raise TopologyError(f"{file} is no topology in the format of Microsoft's emulator: {error}") from error


def apply_topology(topology: Topology, namespace: Namespace) -> None:
    """Create the entities of a topology, and give those that exist its settings and rules.

    Entities that it does not name stay. Raises TopologyError for one that cannot be had.
    """
    for configured in topology.user_config.namespaces:
        for queue in configured.queues:
            with _naming(f"queue {queue.name}"):
                _apply_queue(namespace, queue)
        for topic in configured.topics:
            with _naming(f"topic {topic.name}"):
                _apply_topic(namespace, topic)
            for subscription in topic.subscriptions:
                with _naming(f"subscription {subscription.name} of topic {topic.name}"):
                    _apply_subscription(namespace, topic.name, subscription)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    try:
        yield
    except AmqpError as error:
        raise TopologyError(f"topology: {where}: {error.description}") from error


def _find(namespace: Namespace, path: str) -> Entity | None:
    try:
        return namespace.find(path)
    except EntityNotFoundError:
        return None


def _apply_queue(namespace: Namespace, queue: _Queue) -> None:
    settings = queue_settings(queue.properties)
    existing = _find(namespace, queue.name)
    if isinstance(existing, Queue):
        existing.update(settings)
        namespace.save(existing)
    else:
        namespace.create_queue(queue.name, settings)


def _apply_topic(namespace: Namespace, topic: _Topic) -> None:
    settings = topic_settings(topic.properties)
    existing = _find(namespace, topic.name)
    if isinstance(existing, Topic):
        existing.update(settings)
        namespace.save(existing)
    else:
        namespace.create_topic(topic.name, settings)


def _apply_subscription(namespace: Namespace, topic_name: str, subscription: _Subscription) -> None:
    settings = subscription_settings(subscription.properties)
    rules = [_rule(rule) for rule in subscription.rules] or [RuleDescription(DEFAULT_RULE)]
    existing = _find(namespace, f"{topic_name}/Subscriptions/{subscription.name}")
    if isinstance(existing, Subscription):
        existing.update(settings)
        existing.rules = {rule.name.lower(): Rule(rule) for rule in rules}
        namespace.save(existing)
    else:
        namespace.create_subscription(topic_name, subscription.name, settings, rules)


def _rule(rule: _Rule) -> RuleDescription:
    if rule.properties.action:
        raise InvalidEntityError(f"Rule {rule.name} has an Action; rule actions are not supported by this emulator.")
    return RuleDescription(rule.name, _filter(rule))


def _filter(rule: _Rule) -> Filter:
    sql, correlation = rule.properties.sql_filter, rule.properties.correlation_filter
    match rule.properties.filter_type.lower():
        case "sql" if sql is not None:
            return SqlFilter(sql.sql_expression, sql.parameters)
        case "correlation" if correlation is not None:
            return correlation.filter()
        case "true":
            return TrueFilter()
    raise InvalidEntityError(
        f"Rule {rule.name} needs the FilterType Sql and an SqlFilter, or Correlation and a CorrelationFilter."
    )

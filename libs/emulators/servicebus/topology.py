"""Entities from a file in the format of the Config.json of Microsoft's Service Bus emulator.

https://learn.microsoft.com/azure/service-bus-messaging/test-locally-with-service-bus-emulator shows the format. Settings that this emulator
does not know are ignored; those that would change behaviour and are not supported are refused.
"""

from pathlib import Path
from typing import Any

import msgspec

from .amqp.errors import AmqpError
from .broker.entities import Queue, Subscription, Topic
from .broker.errors import EntityNotFoundError
from .broker.namespace import Namespace
from .broker.rules import (
    DEFAULT_RULE,
    CorrelationFilter,
    Filter,
    FilterValue,
    Rule,
    RuleDescription,
    SqlFilter,
    TrueFilter,
)
from .broker.settings import QueueSettings, SubscriptionSettings, TopicSettings
from .durations import parse_duration


class TopologyError(Exception):
    """The topology file cannot be used; the message says which entity and what to change."""


class _Part(msgspec.Struct, frozen=True, rename="pascal"):
    """A part of the file; field names are in Pascal case there."""


class _TopicProperties(_Part, frozen=True):
    default_message_time_to_live: str | None = None
    requires_duplicate_detection: bool = False
    duplicate_detection_history_time_window: str = "PT10M"
    user_metadata: str | None = None


class _QueueProperties(_TopicProperties, frozen=True):
    lock_duration: str = "PT1M"
    max_delivery_count: int = 10
    dead_lettering_on_message_expiration: bool = False
    requires_session: bool = False
    forward_to: str | None = None
    forward_dead_lettered_messages_to: str | None = None


class _CorrelationFilter(_Part, frozen=True):
    content_type: str | None = None
    correlation_id: str | None = None
    label: str | None = None
    message_id: str | None = None
    reply_to: str | None = None
    reply_to_session_id: str | None = None
    session_id: str | None = None
    to: str | None = None
    properties: dict[str, FilterValue] = {}


class _SqlFilter(_Part, frozen=True):
    sql_expression: str
    parameters: dict[str, FilterValue] = {}


class _RuleProperties(_Part, frozen=True):
    filter_type: str = "True"
    sql_filter: _SqlFilter | None = None
    correlation_filter: _CorrelationFilter | None = None
    action: Any = None


class _Rule(_Part, frozen=True):
    name: str
    properties: _RuleProperties = _RuleProperties()


class _Subscription(_Part, frozen=True):
    name: str
    properties: _QueueProperties = _QueueProperties()
    rules: list[_Rule] = []


class _Topic(_Part, frozen=True):
    name: str
    properties: _TopicProperties = _TopicProperties()
    subscriptions: list[_Subscription] = []


class _Queue(_Part, frozen=True):
    name: str
    properties: _QueueProperties = _QueueProperties()


class _Namespace(_Part, frozen=True):
    name: str
    queues: list[_Queue] = []
    topics: list[_Topic] = []


class _UserConfig(_Part, frozen=True):
    namespaces: list[_Namespace]


class Topology(_Part, frozen=True):
    """The content of the file."""

    user_config: _UserConfig


def load_topology(file: Path) -> Topology:
    """Read a topology file. Raises TopologyError when it is missing, no JSON, or not of the format."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Topology)
    except OSError as error:
        raise TopologyError(
            f"cannot read the topology {file}: {error.strerror}; give another with --topology"
        ) from error
    except msgspec.DecodeError as error:
        raise TopologyError(f"{file} is no topology in the format of Microsoft's emulator: {error}") from error


def apply_topology(topology: Topology, namespace: Namespace) -> None:
    """Create the entities of a topology; give those that exist its settings and rules. Entities that it does not name stay.

    Raises TopologyError for an entity that cannot be had.
    """
    for configured in topology.user_config.namespaces:
        for queue in configured.queues:
            _naming(f"queue {queue.name}", _apply_queue, namespace, queue)
        for topic in configured.topics:
            _naming(f"topic {topic.name}", _apply_topic, namespace, topic)
            for subscription in topic.subscriptions:
                where = f"subscription {subscription.name} of topic {topic.name}"
                _naming(where, _apply_subscription, namespace, topic.name, subscription)


def _naming(where: str, apply: Any, *arguments: Any) -> None:
    try:
        apply(*arguments)
    except (AmqpError, ValueError) as error:
        reason = error.description if isinstance(error, AmqpError) else str(error)
        raise TopologyError(f"topology: {where}: {reason}") from error


def _find(namespace: Namespace, path: str) -> Queue | Topic | Subscription | None:
    try:
        return namespace.find(path)
    except EntityNotFoundError:
        return None


def _apply_queue(namespace: Namespace, queue: _Queue) -> None:
    settings = QueueSettings(**_delivery(queue.properties), **_duplicates(queue.properties))
    existing = _find(namespace, queue.name)
    if isinstance(existing, Queue):
        existing.update(settings.checked())
        namespace.save(existing)
    else:
        namespace.create_queue(queue.name, settings)


def _apply_topic(namespace: Namespace, topic: _Topic) -> None:
    settings = TopicSettings(**_common(topic.properties), **_duplicates(topic.properties))
    existing = _find(namespace, topic.name)
    if isinstance(existing, Topic):
        existing.update(settings.checked())
        namespace.save(existing)
    else:
        namespace.create_topic(topic.name, settings)


def _apply_subscription(namespace: Namespace, topic_name: str, subscription: _Subscription) -> None:
    settings = SubscriptionSettings(**_delivery(subscription.properties))
    rules = [_rule(rule) for rule in subscription.rules] or [RuleDescription(DEFAULT_RULE)]
    existing = _find(namespace, f"{topic_name}/Subscriptions/{subscription.name}")
    if isinstance(existing, Subscription):
        existing.update(settings.checked())
        existing.rules = {rule.name.lower(): Rule(rule) for rule in rules}
        namespace.save(existing)
    else:
        namespace.create_subscription(topic_name, subscription.name, settings, rules)


def _common(properties: _TopicProperties) -> dict[str, Any]:
    ttl = properties.default_message_time_to_live
    return {"default_ttl_ms": parse_duration(ttl) if ttl else None, "user_metadata": properties.user_metadata}


def _duplicates(properties: _TopicProperties) -> dict[str, Any]:
    return {
        "detects_duplicates": properties.requires_duplicate_detection,
        "duplicate_window_ms": parse_duration(properties.duplicate_detection_history_time_window),
    }


def _delivery(properties: _QueueProperties) -> dict[str, Any]:
    if properties.requires_session:
        raise ValueError("RequiresSession is not supported by this emulator; set it to false")
    if properties.forward_to or properties.forward_dead_lettered_messages_to:
        raise ValueError(
            "forwarding is not supported by this emulator; empty ForwardTo and ForwardDeadLetteredMessagesTo"
        )
    return {
        **_common(properties),
        "lock_duration_ms": parse_duration(properties.lock_duration),
        "max_delivery_count": properties.max_delivery_count,
        "dead_letters_expired": properties.dead_lettering_on_message_expiration,
    }


def _rule(rule: _Rule) -> RuleDescription:
    properties = rule.properties
    if properties.action:
        raise ValueError(f"rule {rule.name} has an Action; rule actions are not supported by this emulator")
    return RuleDescription(rule.name, _filter(rule))


def _filter(rule: _Rule) -> Filter:
    sql, correlation = rule.properties.sql_filter, rule.properties.correlation_filter
    match rule.properties.filter_type.lower():
        case "sql" if sql is not None:
            return SqlFilter(sql.sql_expression, sql.parameters)
        case "correlation" if correlation is not None:
            return CorrelationFilter(**msgspec.structs.asdict(correlation))
        case "true":
            return TrueFilter()
    raise ValueError(
        f"rule {rule.name} needs FilterType Sql with an SqlFilter, or Correlation with a CorrelationFilter"
    )

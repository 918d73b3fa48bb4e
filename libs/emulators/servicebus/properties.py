"""Properties of entities and rules as Service Bus spells them, in JSON and in XML alike, and their way to settings."""

from typing import Any, TypeVar

import msgspec

from .broker.errors import InvalidEntityError
from .broker.rules import CorrelationFilter, FilterValue
from .broker.settings import QueueSettings, SubscriptionSettings, TopicSettings
from .durations import parse_duration

_Kind = TypeVar("_Kind", bound="Properties")


class Properties(msgspec.Struct, frozen=True, rename="pascal"):
    """Field names are in Pascal case outside. Names that are not here are ignored."""


class TopicProperties(Properties, frozen=True):
    """A topic's. Durations in ISO 8601."""

    default_message_time_to_live: str | None = None
    requires_duplicate_detection: bool = False
    duplicate_detection_history_time_window: str = "PT10M"
    enable_partitioning: bool = False
    status: str = "Active"
    user_metadata: str | None = None


class QueueProperties(TopicProperties, frozen=True):
    """A queue's, and but for duplicate detection a subscription's."""

    lock_duration: str = "PT1M"
    max_delivery_count: int = 10
    dead_lettering_on_message_expiration: bool = False
    requires_session: bool = False
    forward_to: str | None = None
    forward_dead_lettered_messages_to: str | None = None


class CorrelationProperties(Properties, frozen=True):
    """A correlation filter's."""

    content_type: str | None = None
    correlation_id: str | None = None
    label: str | None = None
    message_id: str | None = None
    reply_to: str | None = None
    reply_to_session_id: str | None = None
    session_id: str | None = None
    to: str | None = None
    properties: dict[str, FilterValue] = {}

    def filter(self) -> CorrelationFilter:
        """Return the filter."""
        return CorrelationFilter(**msgspec.structs.asdict(self))


def read_texts(texts: dict[str, Any], kind: type[_Kind]) -> _Kind:
    """Read properties from texts, such as the elements of an XML document. Raises InvalidEntityError."""
    try:
        return msgspec.convert(texts, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidEntityError(f"A property has a wrong value: {error}") from error


def queue_settings(properties: QueueProperties) -> QueueSettings:
    """Return a queue's settings. Raises InvalidEntityError for what this emulator cannot do."""
    return QueueSettings(**_delivery(properties), **_duplicates(properties)).checked()


def subscription_settings(properties: QueueProperties) -> SubscriptionSettings:
    """Return a subscription's settings. Raises InvalidEntityError for what this emulator cannot do."""
    return SubscriptionSettings(**_delivery(properties)).checked()


def topic_settings(properties: TopicProperties) -> TopicSettings:
    """Return a topic's settings. Raises InvalidEntityError for what this emulator cannot do."""
    return TopicSettings(**_common(properties), **_duplicates(properties)).checked()


def _common(properties: TopicProperties) -> dict[str, Any]:
    if properties.status != "Active":
        raise InvalidEntityError(f"Status {properties.status} is not supported by this emulator; only Active is.")
    if properties.enable_partitioning:
        raise InvalidEntityError("EnablePartitioning is not supported by this emulator; set it to false.")
    ttl = properties.default_message_time_to_live
    return {
        "default_ttl_ms": _duration("DefaultMessageTimeToLive", ttl) if ttl else None,
        "user_metadata": properties.user_metadata,
    }


def _duplicates(properties: TopicProperties) -> dict[str, Any]:
    name, window = "DuplicateDetectionHistoryTimeWindow", properties.duplicate_detection_history_time_window
    return {
        "detects_duplicates": properties.requires_duplicate_detection,
        "duplicate_window_ms": _finite_duration(name, window),
    }


def _delivery(properties: QueueProperties) -> dict[str, Any]:
    if properties.requires_session:
        raise InvalidEntityError("RequiresSession is not supported by this emulator; set it to false.")
    if properties.forward_to or properties.forward_dead_lettered_messages_to:
        raise InvalidEntityError(
            "Forwarding is not supported by this emulator; leave ForwardTo and ForwardDeadLetteredMessagesTo empty."
        )
    return {
        **_common(properties),
        "lock_duration_ms": _finite_duration("LockDuration", properties.lock_duration),
        "max_delivery_count": properties.max_delivery_count,
        "dead_letters_expired": properties.dead_lettering_on_message_expiration,
    }


def _duration(name: str, text: str) -> int | None:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidEntityError(f"{name}: {error}.") from error


def _finite_duration(name: str, text: str) -> int:
    milliseconds = _duration(name, text)
    if milliseconds is None:
        raise InvalidEntityError(f"{name} cannot last for ever.")
    return milliseconds

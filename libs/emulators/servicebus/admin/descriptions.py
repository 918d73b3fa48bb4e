"""Entities to their XML descriptions, and the texts of a description that a client sent."""

from typing import Any
from xml.etree import ElementTree as ET

from ..broker.entities import Queue, Subscription, Topic
from ..broker.message import MessageState
from ..broker.namespace import Entity
from ..broker.settings import DeliverySettings
from ..durations import FOREVER, format_duration
from .atom import COUNTS, SERVICE_BUS, Entry, boolean, element, local_name, timestamp

_MAX_SIZE_MB = "1024"

_Fields = list[tuple[str, str | None]]


def entity_entry(entity: Entity) -> Entry:
    """Return an entity for an ATOM document."""
    if isinstance(entity, Queue):
        description = _queue(entity)
    elif isinstance(entity, Topic):
        description = _topic(entity)
    else:
        description = _subscription(entity)
    return Entry(entity.name, entity.path, entity.created_ms, entity.updated_ms, description)


def namespace_entry(name: str) -> Entry:
    """Return the namespace for an ATOM document."""
    description = element(
        "NamespaceInfo",
        [
            ("CreatedTime", timestamp(0)),
            ("MessagingSKU", "Standard"),
            ("MessagingUnits", "1"),
            ("ModifiedTime", timestamp(0)),
            ("Name", name),
            ("NamespaceType", "Messaging"),
        ],
    )
    return Entry(name, "", 0, 0, description)


def texts_of(description: ET.Element) -> dict[str, Any]:
    """Return the texts of a description's simple elements; an empty or nil element counts as not given."""
    return {local_name(child): child.text for child in description if child.text is not None and not len(child)}


def _queue(queue: Queue) -> ET.Element:
    settings = queue.settings
    fields = [
        ("LockDuration", format_duration(settings.lock_duration_ms)),
        ("MaxSizeInMegabytes", _MAX_SIZE_MB),
        ("RequiresDuplicateDetection", boolean(settings.detects_duplicates)),
        ("DuplicateDetectionHistoryTimeWindow", format_duration(settings.duplicate_window_ms)),
        *_delivery(settings),
        ("MessageCount", str(_total(queue))),
        *_common(queue),
    ]
    description = element("QueueDescription", fields)
    description.append(_counts(queue))
    return description


def _subscription(subscription: Subscription) -> ET.Element:
    fields = [
        ("LockDuration", format_duration(subscription.settings.lock_duration_ms)),
        ("DeadLetteringOnFilterEvaluationExceptions", "false"),
        *_delivery(subscription.settings),
        ("MessageCount", str(_total(subscription))),
        *_common(subscription),
    ]
    description = element("SubscriptionDescription", fields)
    description.append(_counts(subscription))
    return description


def _topic(topic: Topic) -> ET.Element:
    settings = topic.settings
    fields = [
        ("DefaultMessageTimeToLive", format_duration(settings.default_ttl_ms)),
        ("MaxSizeInMegabytes", _MAX_SIZE_MB),
        ("RequiresDuplicateDetection", boolean(settings.detects_duplicates)),
        ("DuplicateDetectionHistoryTimeWindow", format_duration(settings.duplicate_window_ms)),
        ("EnableBatchedOperations", "true"),
        ("SizeInBytes", "0"),
        ("SupportOrdering", "true"),
        ("SubscriptionCount", str(len(topic.subscriptions))),
        ("EnablePartitioning", "false"),
        *_common(topic),
    ]
    description = element("TopicDescription", fields)
    counts = ET.SubElement(description, SERVICE_BUS + "CountDetails")
    ET.SubElement(counts, COUNTS + "ScheduledMessageCount").text = str(topic.scheduled_count)
    return description


def _delivery(settings: DeliverySettings) -> _Fields:
    return [
        ("RequiresSession", "false"),
        ("DefaultMessageTimeToLive", format_duration(settings.default_ttl_ms)),
        ("DeadLetteringOnMessageExpiration", boolean(settings.dead_letters_expired)),
        ("MaxDeliveryCount", str(settings.max_delivery_count)),
        ("EnableBatchedOperations", "true"),
        ("EnablePartitioning", "false"),
        ("SizeInBytes", "0"),
    ]


def _common(entity: Entity) -> _Fields:
    return [
        ("Status", "Active"),
        ("UserMetadata", entity.settings.user_metadata),
        ("CreatedAt", timestamp(entity.created_ms)),
        ("UpdatedAt", timestamp(entity.updated_ms)),
        ("AccessedAt", timestamp(entity.updated_ms)),
        ("AutoDeleteOnIdle", FOREVER),
        ("EntityAvailabilityStatus", "Available"),
    ]


def _counts(inbox: Queue | Subscription) -> ET.Element:
    by_state = inbox.messages.count_by_state()
    numbers = {
        # Azure counts deferred messages among the active ones, too.
        "ActiveMessageCount": by_state[MessageState.ACTIVE] + by_state[MessageState.DEFERRED],
        "DeadLetterMessageCount": inbox.dead_letters.count_by_state().total(),
        "ScheduledMessageCount": by_state[MessageState.SCHEDULED],
        "TransferMessageCount": 0,
        "TransferDeadLetterMessageCount": 0,
    }
    details = ET.Element(SERVICE_BUS + "CountDetails")
    for name, number in numbers.items():
        ET.SubElement(details, COUNTS + name).text = str(number)
    return details


def _total(inbox: Queue | Subscription) -> int:
    return inbox.messages.count_by_state().total() + inbox.dead_letters.count_by_state().total()

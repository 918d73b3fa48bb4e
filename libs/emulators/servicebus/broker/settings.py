"""Settings of entities, with the bounds of Azure Service Bus (its quotas, and the properties in its REST API)."""

import re
from typing import Self

import msgspec

from .errors import InvalidEntityError

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
DAY_MS = 24 * 60 * MINUTE_MS
# The Standard tier's limit, and that of Microsoft's emulator.
MAX_MESSAGE_BYTES = 256 * 1024

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/~-]*[A-Za-z0-9])?")
_CHILD_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_RULE_NAME = re.compile(r"[A-Za-z0-9._$-]+")


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How messages are handed out.

    Durations in milliseconds; ``default_ttl_ms`` None means that messages do not expire.
    """

    lock_duration_ms: int = MINUTE_MS
    max_delivery_count: int = 10
    default_ttl_ms: int | None = None
    dead_letters_expired: bool = False
    user_metadata: str | None = None

    def checked(self) -> Self:
        """Return self. Raises InvalidEntityError when a value is out of bounds."""
        _check("LockDuration", self.lock_duration_ms, 5 * SECOND_MS, 5 * MINUTE_MS)
        _check("MaxDeliveryCount", self.max_delivery_count, 1, 2000)
        _check_ttl(self.default_ttl_ms)
        return self


class QueueSettings(DeliverySettings, frozen=True, kw_only=True):
    """A queue."""

    detects_duplicates: bool = False
    duplicate_window_ms: int = 10 * MINUTE_MS

    def checked(self) -> Self:
        """Return self. Raises InvalidEntityError when a value is out of bounds."""
        super().checked()
        _check_window(self.duplicate_window_ms)
        return self


class SubscriptionSettings(DeliverySettings, frozen=True, kw_only=True):
    """A subscription."""


class TopicSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A topic. ``default_ttl_ms`` caps the time to live in every subscription."""

    default_ttl_ms: int | None = None
    detects_duplicates: bool = False
    duplicate_window_ms: int = 10 * MINUTE_MS
    user_metadata: str | None = None

    def checked(self) -> Self:
        """Return self. Raises InvalidEntityError when a value is out of bounds."""
        _check_ttl(self.default_ttl_ms)
        _check_window(self.duplicate_window_ms)
        return self


def check_entity_name(name: str) -> None:
    """Raise InvalidEntityError unless ``name`` may name a queue or topic."""
    segments = name.lower().split("/")
    if len(name) > 260 or not _NAME.fullmatch(name) or "" in segments or "subscriptions" in segments:
        raise InvalidEntityError(
            f"'{name}' cannot name a queue or topic: up to 260 letters, digits, '.', '-', '_', '~', and '/' between "
            "segments, starting and ending with a letter or digit, no segment 'subscriptions'."
        )


def check_subscription_name(name: str) -> None:
    """Raise InvalidEntityError unless ``name`` may name a subscription."""
    if len(name) > 50 or not _CHILD_NAME.fullmatch(name):
        raise InvalidEntityError(f"'{name}' cannot name a subscription: up to 50 letters, digits, '.', '-' and '_'.")


def check_rule_name(name: str) -> None:
    """Raise InvalidEntityError unless ``name`` may name a rule."""
    if len(name) > 50 or not _RULE_NAME.fullmatch(name):
        raise InvalidEntityError(f"'{name}' cannot name a rule: up to 50 letters, digits, '.', '-', '_' and '$'.")


def _check(setting: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        unit = "" if setting == "MaxDeliveryCount" else " ms"
        raise InvalidEntityError(f"{setting} is {value}{unit}; it must be between {least} and {most}{unit}.")


def _check_ttl(ttl_ms: int | None) -> None:
    if ttl_ms is not None and ttl_ms < SECOND_MS:
        raise InvalidEntityError(f"DefaultMessageTimeToLive is {ttl_ms} ms; it must be at least {SECOND_MS} ms.")


def _check_window(window_ms: int) -> None:
    _check("DuplicateDetectionHistoryTimeWindow", window_ms, 20 * SECOND_MS, 7 * DAY_MS)

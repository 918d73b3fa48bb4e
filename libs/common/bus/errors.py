"""What can go wrong with the bus, decided once: transient (try again) or terminal (a person must act).

No message quotes a key, a token or a connection string.
"""

from __future__ import annotations

from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusQuotaExceededError,
)

from libs.common.errors import RetlError, TerminalError, TransientError


class BusError(RetlError):
    """The service bus did not do what was asked."""

    code = "bus_error"


class BusUnavailableError(BusError, TransientError):
    """The service bus does not answer, is busy, or the connection broke."""

    code = "bus_unavailable"
    next_step = (
        "Nothing, unless it lasts: the link is rebuilt by itself. Then check the namespace's health and the network."
    )


class BusFullError(BusError, TransientError):
    """The topic has reached its size or the namespace its quota."""

    code = "bus_quota_exceeded"
    next_step = "See which subscription piles up (`retl doctor`), start its consumer or empty its dead letters."


class BusAuthError(BusError, TerminalError):
    """The service bus refuses this identity or key."""

    code = "bus_unauthorized"
    next_step = (
        "Grant the service's identity 'Azure Service Bus Data Sender' and 'Data Receiver' on the namespace, or correct "
        "SERVICEBUS_CONNECTION_STRING."
    )


class EntityMissingError(BusError, TerminalError):
    """The topic or the subscription does not exist, or is disabled."""

    code = "bus_entity_missing"
    next_step = (
        "Create the topics and subscriptions of deploy/servicebus/topology.json in this namespace, rules included."
    )


class MessageTooLargeError(BusError, TerminalError):
    """The message is larger than the namespace's tier allows."""

    code = "message_too_large"
    next_step = (
        "Messages carry references, not data: find what made this one grow (a count per code, a path) and bound it."
    )


class LockLostError(BusError, TransientError):
    """Somebody else may have the message by now: its lock ran out or was taken back."""

    code = "lock_lost"
    next_step = "Nothing: the broker delivers the message again."


class BusSettingsError(BusError, TerminalError):
    """The bus is not configured, or its setting cannot be understood."""

    code = "bus_settings_invalid"
    next_step = "Set SERVICEBUS_CONNECTION_STRING, or SERVICEBUS_NAMESPACE to use the identity of the process."


_MEANING: tuple[tuple[tuple[type[Exception], ...], type[BusError], str], ...] = (
    (
        (MessageLockLostError, MessageNotFoundError, MessageAlreadySettled),
        LockLostError,
        "The lock is lost on a message of",
    ),
    (
        (ServiceBusAuthenticationError, ServiceBusAuthorizationError, ClientAuthenticationError),
        BusAuthError,
        "The service bus refuses access to",
    ),
    (
        (MessagingEntityNotFoundError, MessagingEntityDisabledError),
        EntityMissingError,
        "The service bus has no active entity",
    ),
    ((MessageSizeExceededError,), MessageTooLargeError, "The message is too large for"),
    ((ServiceBusQuotaExceededError,), BusFullError, "The service bus has no room in"),
)


def translate(error: Exception, entity: str) -> BusError:
    """Our name for an error of the SDK; whatever it does not single out is an outage.

    `entity` is the topic, or topic and subscription, that the call was about. Raise the result `from` the error.
    """
    if isinstance(error, BusError):
        return error
    for kinds, ours, sentence in _MEANING:
        if isinstance(error, kinds):
            return ours(f"{sentence} {entity}.")
    return BusUnavailableError(f"The service bus failed for {entity} ({type(error).__name__}: {_first_line(error)}).")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]

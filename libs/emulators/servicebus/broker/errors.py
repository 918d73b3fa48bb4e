"""What the broker refuses, each with the condition that Service Bus reports for it."""

from ..amqp.errors import INVALID_FIELD, MESSAGE_LOCK_LOST, MESSAGE_NOT_FOUND, NOT_ALLOWED, NOT_FOUND, AmqpError


class EntityNotFoundError(AmqpError):
    """No queue, topic, subscription or rule has this path."""

    def __init__(self, path: str) -> None:
        super().__init__(NOT_FOUND, f"The messaging entity '{path}' could not be found.")


class EntityExistsError(AmqpError):
    """The path is taken."""

    def __init__(self, path: str) -> None:
        super().__init__(NOT_ALLOWED, f"The messaging entity '{path}' already exists.")


class InvalidEntityError(AmqpError):
    """A setting, a name or a filter of an entity is out of bounds or not supported; nothing was created or changed."""

    def __init__(self, description: str) -> None:
        super().__init__(INVALID_FIELD, description)


class LockLostError(AmqpError):
    """The lock token is not, or no longer, held."""

    def __init__(self) -> None:
        super().__init__(
            MESSAGE_LOCK_LOST,
            "The lock supplied is invalid. Either the lock expired, or the message has already been removed from the "
            "queue.",
        )


class MessageNotFoundError(AmqpError):
    """No message of the wanted state has this sequence number."""

    def __init__(self, sequence_number: int, wanted: str) -> None:
        super().__init__(MESSAGE_NOT_FOUND, f"There is no {wanted} message with sequence number {sequence_number}.")


class OperationNotAllowedError(AmqpError):
    """The operation makes no sense for this entity."""

    def __init__(self, description: str) -> None:
        super().__init__(NOT_ALLOWED, description)

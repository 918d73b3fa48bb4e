"""Error conditions of AMQP 1.0 and of Service Bus, and the exceptions that carry them to the peer."""

NOT_FOUND = "amqp:not-found"
NOT_ALLOWED = "amqp:not-allowed"
NOT_IMPLEMENTED = "amqp:not-implemented"
DECODE_ERROR = "amqp:decode-error"
INVALID_FIELD = "amqp:invalid-field"
INTERNAL_ERROR = "amqp:internal-error"
FRAMING_ERROR = "amqp:connection:framing-error"
CONNECTION_FORCED = "amqp:connection:forced"
MESSAGE_SIZE_EXCEEDED = "amqp:link:message-size-exceeded"
MESSAGE_LOCK_LOST = "com.microsoft:message-lock-lost"
MESSAGE_NOT_FOUND = "com.microsoft:message-not-found"
DEAD_LETTER = "com.microsoft:dead-letter"


class AmqpError(Exception):
    """A failure that the peer is told about.

    ``condition`` is an AMQP error symbol, ``description`` the sentence for people.
    """

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(f"{condition}: {description}")
        self.condition = condition
        self.description = description


class DecodeError(AmqpError):
    """The peer sent octets that are no valid AMQP 1.0."""

    def __init__(self, description: str) -> None:
        super().__init__(DECODE_ERROR, description)


class FramingError(AmqpError):
    """The peer broke the framing: a size out of bounds, or a frame where none may be."""

    def __init__(self, description: str) -> None:
        super().__init__(FRAMING_ERROR, description)

"""Request and response over two links: the client sends to a node and receives from the same address."""

import uuid
from collections import deque
from typing import Any

from ..amqp.errors import INTERNAL_ERROR, AmqpError
from ..amqp.link import OutgoingLink
from ..amqp.performatives import ACCEPTED_OUTCOME
from ..amqp.types import Encoded
from ..broker.message import AMQP_VALUE, APPLICATION_PROPERTIES, PROPERTIES, Message, encode_section

_CORRELATION_ID = 5


class RequestNode:
    """Answers requests in the order in which they come.

    It is the sink of the request link and the source of the response link.
    """

    def __init__(self) -> None:
        self._responses: deque[bytes] = deque()
        self._link: OutgoingLink | None = None

    def answer(self, request: Message) -> tuple[dict[str, Any], Any]:
        """Return the application properties and the value of the response."""
        raise NotImplementedError

    def attach_responses(self, link: OutgoingLink) -> None:
        """Send responses to this link from now on."""
        self._link = link

    def accept(self, message: bytes, message_format: int) -> None:
        """Take a request; part of the Sink protocol."""
        if message_format != 0:
            raise AmqpError(INTERNAL_ERROR, f"A request cannot have message format {message_format:#x}.")
        request = Message(message)
        properties, value = self.answer(request)
        correlation: list[Any] = [None] * _CORRELATION_ID
        # The id goes back with its type: the client compares UUID with UUID.
        response = (
            encode_section(PROPERTIES, [*correlation, request.message_id])
            + encode_section(APPLICATION_PROPERTIES, properties)
            + encode_section(AMQP_VALUE, value)
        )
        self._responses.append(response)
        self.credit_changed()

    def credit_changed(self) -> None:
        """Send what waits; part of the Source protocol."""
        link = self._link
        while self._responses and link is not None and link.is_open and link.credit > 0:
            link.send(self._responses.popleft(), uuid.uuid4().bytes)

    def settle(self, delivery: Any, outcome: Any) -> Encoded:
        """Responses are sent settled; part of the Source protocol."""
        return ACCEPTED_OUTCOME

    def closed(self) -> None:
        """Drop responses that nobody waits for; part of the Source protocol."""
        self._link = None
        self._responses.clear()

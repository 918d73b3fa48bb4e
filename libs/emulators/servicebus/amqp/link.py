"""Links: one per direction and address, with credit (part 2.6 of the specification).

A link's behaviour is its node's (see ``Sink`` and ``Source``); the link does credit, fragments and settlement frames.
"""

from typing import TYPE_CHECKING, Any, Protocol

from . import performatives as p
from .errors import MESSAGE_SIZE_EXCEEDED, AmqpError
from .types import Encoded

if TYPE_CHECKING:
    from .session import Session

SETTLED_BY_SENDER = 1  # snd-settle-mode "settled": receive-and-delete
# Credit is topped up at half, so a client that honours it never waits for a round trip.
INCOMING_CREDIT = 1000
UNLIMITED_SIZE = 2**63 - 1


class Sink(Protocol):
    """What a client's messages go to."""

    def accept(self, message: bytes, message_format: int) -> None:
        """Take one message, or one batch of them. Raises AmqpError to refuse it."""


class Source(Protocol):
    """What a client receives from."""

    def credit_changed(self) -> None:
        """React to new credit: send, if there is something to send."""

    def settle(self, delivery: Any, outcome: Any) -> Encoded:
        """Apply the client's outcome to a delivery.

        Return the outcome to echo. Raises AmqpError when it cannot be applied.
        """

    def closed(self) -> None:
        """Forget the link; deliveries stay locked until their lock expires."""


class Link:
    """What both directions share. ``address`` is the node's, as the client wrote it."""

    def __init__(self, session: "Session", attach: p.Attach, address: str) -> None:
        self.session = session
        self.attach = attach
        self.address = address
        self.handle = attach.handle
        self.max_message_size = UNLIMITED_SIZE
        self.properties: dict[str, Any] | None = None
        self.delivery_count = 0
        self.credit = 0
        self.is_open = True

    @property
    def filters(self) -> dict[str, Any]:
        """The filter set of the source."""
        filters = p.fields_of(self.attach.source, p.SOURCE, 8)[7]
        return {str(name): value for name, value in filters.items()} if isinstance(filters, dict) else {}

    def detach(self, condition: str, description: str) -> None:
        """Close the link from this side and tell why."""
        if self.is_open:
            self.close()
            self.session.send(p.Detach(self.handle, True, p.error(condition, description)))

    def close(self) -> None:
        """Note that the link is gone, whichever side closed it."""
        self.is_open = False

    def flow_received(self, flow: p.Flow) -> None:
        """Handle a flow frame for this link."""
        raise NotImplementedError


class IncomingLink(Link):
    """The client sends."""

    def __init__(self, session: "Session", attach: p.Attach, address: str) -> None:
        super().__init__(session, attach, address)
        self.sink: Sink | None = None
        self._first: p.Transfer | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def grant_credit(self) -> None:
        """Let the client send."""
        self.credit = INCOMING_CREDIT
        self.session.send_flow(self)

    def flow_received(self, flow: p.Flow) -> None:
        """Answer a client that asks for the state of the link."""
        if flow.echo:
            self.session.send_flow(self)

    def transfer_received(self, transfer: p.Transfer, payload: bytes) -> None:
        """Collect the fragments of a message; hand the whole to the sink and settle it."""
        first = self._first = self._first or transfer
        self._size += len(payload)
        if self._size <= self.max_message_size:
            self._parts.append(payload)
        if transfer.more and not transfer.aborted:
            return
        message, size = b"".join(self._parts), self._size
        self._first, self._parts, self._size = None, [], 0
        self.delivery_count += 1
        self.credit -= 1
        if not transfer.aborted:
            outcome = self._outcome(message, size, first.message_format or 0)
            if not (first.settled or transfer.settled):
                self.session.send(p.Disposition(True, first.delivery_id or 0, first.delivery_id, True, outcome))
        if self.credit < INCOMING_CREDIT // 2:
            self.grant_credit()

    def _outcome(self, message: bytes, size: int, message_format: int) -> Encoded:
        if size > self.max_message_size:
            description = f"The message has {size} bytes; the limit on this link is {self.max_message_size}."
            return p.rejected_outcome(MESSAGE_SIZE_EXCEEDED, description)
        try:
            assert self.sink is not None  # the router sets it before the link is confirmed
            self.sink.accept(message, message_format)
        except AmqpError as error:
            return p.rejected_outcome(error.condition, error.description)
        return p.ACCEPTED_OUTCOME


class OutgoingLink(Link):
    """The client receives."""

    def __init__(self, session: "Session", attach: p.Attach, address: str) -> None:
        super().__init__(session, attach, address)
        self.source: Source | None = None

    @property
    def sends_settled(self) -> bool:
        """True when the client asked for receive-and-delete."""
        return self.attach.snd_settle_mode == SETTLED_BY_SENDER

    def flow_received(self, flow: p.Flow) -> None:
        """Take over the client's credit, send what it allows, and answer a drain with the credit used up."""
        assert self.source is not None  # the router sets it before the link is confirmed
        if flow.link_credit is not None:
            self.credit = (flow.delivery_count or 0) + flow.link_credit - self.delivery_count
        self.source.credit_changed()
        if flow.drain and self.is_open:
            self.delivery_count += max(self.credit, 0)
            self.credit = 0
            self.session.send_flow(self, drain=True)
        elif flow.echo:
            self.session.send_flow(self)

    def send(self, message: bytes, tag: bytes, *, delivery: Any = None) -> None:
        """Send a message: settled or, with ``delivery``, unsettled; the outcome comes back with that reference."""
        self.credit -= 1
        self.delivery_count += 1
        self.session.send_message(self, message, tag, delivery)

    def close(self) -> None:
        """Note that the link is gone and tell the node."""
        super().close()
        if self.source is not None:
            self.source.closed()

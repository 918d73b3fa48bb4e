"""Sessions: transfer windows, delivery ids, and the links of one channel (part 2.5 of the specification)."""

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from . import performatives as p
from .errors import NOT_ALLOWED, NOT_IMPLEMENTED, AmqpError
from .frames import TRANSFER_OVERHEAD, encode_frame
from .link import IncomingLink, Link, OutgoingLink
from .types import Described

if TYPE_CHECKING:
    from .connection import Connection

log = logging.getLogger(__name__)

# The SDK counts its window in deliveries, not frames, and replenishes it late: a wide one keeps it from stalling.
WINDOW = 2**31 - 1
_SERIAL_MASK = 2**32 - 1
_HANDLE_MAX = 255


class Router(Protocol):
    """Connects links to nodes."""

    def attach_incoming(self, link: IncomingLink) -> None:
        """Set the link's sink. Raises AmqpError to refuse the link."""

    def attach_outgoing(self, link: OutgoingLink) -> None:
        """Set the link's source. Raises AmqpError to refuse the link."""

    def attached(self, link: OutgoingLink) -> None:
        """The client knows that the link is open: messages may flow."""


class Session:
    """One session, made by the client's begin."""

    def __init__(self, connection: "Connection", channel: int, begin: p.Begin, router: Router) -> None:
        self.connection = connection
        self._channel = channel
        self._router = router
        self._links: dict[int, Link] = {}
        self._next_incoming_id = begin.next_outgoing_id
        self._next_outgoing_id = self._initial_outgoing_id = 0
        self._remote_window = begin.incoming_window
        self._next_delivery_id = 0
        self._unsettled: dict[int, tuple[OutgoingLink, Any]] = {}
        self._waiting_for_window: deque[bytes] = deque()
        self.send(p.Begin(channel, self._next_outgoing_id, WINDOW, WINDOW, _HANDLE_MAX))

    def send(self, performative: p.Performative) -> None:
        """Send a frame without payload."""
        self.connection.write(encode_frame(self._channel, performative))

    def send_flow(self, link: Link, *, drain: bool | None = None) -> None:
        """Tell the client the state of the session and of a link."""
        self.send(
            p.Flow(
                self._next_incoming_id,
                WINDOW,
                self._next_outgoing_id,
                WINDOW,
                link.handle,
                link.delivery_count & _SERIAL_MASK,
                max(link.credit, 0),
                0,
                drain,
            )
        )

    def send_message(self, link: OutgoingLink, message: bytes, tag: bytes, delivery: Any) -> None:
        """Send a message in as many frames as the client's frame size needs, as far as its window is open."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id = (delivery_id + 1) & _SERIAL_MASK
        settled = delivery is None
        if not settled:
            self._unsettled[delivery_id] = (link, delivery)
        room = self.connection.remote_max_frame_size - TRANSFER_OVERHEAD
        for start in range(0, len(message), room):
            more = start + room < len(message)
            transfer = p.Transfer(link.handle, delivery_id, tag, 0, settled, more)
            self._waiting_for_window.append(encode_frame(self._channel, transfer, message[start : start + room]))
        self._send_waiting()

    def handle(self, performative: p.Performative, payload: bytes) -> None:
        """Handle a frame of this session other than begin and end."""
        match performative:
            case p.Transfer():
                self._next_incoming_id = (self._next_incoming_id + 1) & _SERIAL_MASK
                link = self._links.get(performative.handle)
                if isinstance(link, IncomingLink) and link.is_open:
                    link.transfer_received(performative, payload)
            case p.Disposition():
                self._disposition(performative)
            case p.Flow():
                self._flow(performative)
            case p.Attach():
                self._attach(performative)
            case p.Detach():
                self._detach(performative)
            case _:
                raise AmqpError(NOT_ALLOWED, f"{type(performative).__name__} does not belong in a session")

    def end(self) -> None:
        """Close every link; the client ended the session or is gone."""
        for link in self._links.values():
            if link.is_open:
                link.close()
        self._links.clear()
        self._unsettled.clear()

    def _send_waiting(self) -> None:
        while self._waiting_for_window and self._remote_window > 0:
            self._remote_window -= 1
            self._next_outgoing_id = (self._next_outgoing_id + 1) & _SERIAL_MASK
            self.connection.write(self._waiting_for_window.popleft())

    def _attach(self, attach: p.Attach) -> None:
        incoming = not attach.role
        terminus, kind = (attach.target, p.TARGET) if incoming else (attach.source, p.SOURCE)
        address = str(p.fields_of(terminus, kind, 1)[0] or "")
        link = (IncomingLink if incoming else OutgoingLink)(self, attach, address)
        try:
            _refuse_transactions(terminus)
            if isinstance(link, IncomingLink):
                self._router.attach_incoming(link)
            else:
                self._router.attach_outgoing(link)
        except AmqpError as error:
            log.info("refused a link to %s: %s", address or "(no address)", error)
            # A refusal is an attach without source and target, then a detach that tells why (part 2.6.3).
            self.send(self._attach_reply(attach)._replace(source=None, target=None))
            self.send(p.Detach(attach.handle, True, p.error(error.condition, error.description)))
            return
        self._links[link.handle] = link
        self.send(
            self._attach_reply(attach)._replace(max_message_size=link.max_message_size, properties=link.properties)
        )
        if isinstance(link, IncomingLink):
            link.grant_credit()
        else:
            self._router.attached(link)

    @staticmethod
    def _attach_reply(attach: p.Attach) -> p.Attach:
        return p.Attach(
            attach.name,
            attach.handle,
            not attach.role,
            attach.snd_settle_mode if attach.snd_settle_mode is not None else 2,
            attach.rcv_settle_mode or 0,
            attach.source,
            attach.target,
            # The sending end must give it; the client detaches without one.
            initial_delivery_count=0 if attach.role else None,
        )

    def _detach(self, detach: p.Detach) -> None:
        link = self._links.pop(detach.handle, None)
        if link is None:
            return
        # Outcomes that arrive for a closed link are ignored: the client settles those messages through $management.
        self._unsettled = {key: entry for key, entry in self._unsettled.items() if entry[0] is not link}
        if link.is_open:
            link.close()
            self.send(p.Detach(detach.handle, True))

    def _flow(self, flow: p.Flow) -> None:
        seen = flow.next_incoming_id if flow.next_incoming_id is not None else self._initial_outgoing_id
        self._remote_window = seen + flow.incoming_window - self._next_outgoing_id
        self._send_waiting()
        link = self._links.get(flow.handle) if flow.handle is not None else None
        if link is not None and link.is_open:
            link.flow_received(flow)

    def _disposition(self, disposition: p.Disposition) -> None:
        if not disposition.role:
            return  # about the client's own deliveries, which are settled here at once
        last = disposition.last if disposition.last is not None else disposition.first
        if last - disposition.first > len(self._unsettled):
            concerned = sorted(key for key in self._unsettled if disposition.first <= key <= last)
        else:
            concerned = list(range(disposition.first, last + 1))
        for delivery_id in concerned:
            entry = self._unsettled.pop(delivery_id, None)
            if entry is None:
                continue
            link, delivery = entry
            assert link.source is not None  # set before the link could send
            try:
                echo = link.source.settle(delivery, disposition.state)
            except AmqpError as error:
                echo = p.rejected_outcome(error.condition, error.description)
            if not disposition.settled:
                # One frame for each delivery: the SDK waits for its own and does not understand ranges.
                self.send(p.Disposition(False, delivery_id, delivery_id, True, echo))


def _refuse_transactions(terminus: Any) -> None:
    if isinstance(terminus, Described) and terminus.descriptor == p.COORDINATOR:
        raise AmqpError(NOT_IMPLEMENTED, "Transactions are not supported by this emulator.")

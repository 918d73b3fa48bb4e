"""Addresses to nodes."""

from weakref import WeakKeyDictionary

from ..amqp.errors import NOT_ALLOWED, AmqpError
from ..amqp.link import IncomingLink, OutgoingLink
from ..amqp.session import Session
from ..broker.entities import DEAD_LETTER_SUFFIX
from ..broker.namespace import Namespace
from ..broker.settings import MAX_MESSAGE_BYTES
from .addresses import CBS, MANAGEMENT_SUFFIX, path_of
from .cbs import CbsNode
from .management import ManagementNode
from .receiving import EntitySource
from .requests import RequestNode
from .sending import EntitySink

_SESSION_FILTER = "com.microsoft:session-filter"


class NamespaceRouter:
    """Connects the links of all connections to one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        # A request link and its response link belong to one AMQP session.
        self._request_nodes: WeakKeyDictionary[Session, dict[str, RequestNode]] = WeakKeyDictionary()

    def attach_incoming(self, link: IncomingLink) -> None:
        """Set the sink of a link to an address. Raises AmqpError when there is no such entity."""
        path = path_of(link.address)
        node = self._request_node(link.session, path)
        if node is not None:
            link.sink = node
            return
        self._namespace.destination(path)
        link.sink = EntitySink(self._namespace, path)
        link.max_message_size = MAX_MESSAGE_BYTES
        link.properties = {"com.microsoft:max-message-batch-size": MAX_MESSAGE_BYTES}

    def attach_outgoing(self, link: OutgoingLink) -> None:
        """Set the source of a link from an address.

        Raises AmqpError when there is no such entity, or for a session receiver.
        """
        path = path_of(link.address)
        node = self._request_node(link.session, path)
        if node is not None:
            link.source = node
            node.attach_responses(link)
            return
        queue = self._namespace.origin(path)
        if _SESSION_FILTER in link.filters:
            raise AmqpError(
                NOT_ALLOWED,
                f"A session receiver cannot be created on '{path}': sessions are not supported by this emulator.",
            )
        link.source = EntitySource(queue, link)
        link.max_message_size = MAX_MESSAGE_BYTES

    def attached(self, link: OutgoingLink) -> None:
        """Let a receiver compete for messages."""
        if isinstance(link.source, EntitySource):
            link.source.start()

    def _request_node(self, session: Session, path: str) -> RequestNode | None:
        key = path.lower()
        if key != CBS and not key.endswith(MANAGEMENT_SUFFIX):
            return None
        nodes = self._request_nodes.setdefault(session, {})
        if key not in nodes:
            nodes[key] = CbsNode() if key == CBS else self._management_node(path[: -len(MANAGEMENT_SUFFIX)])
        return nodes[key]

    def _management_node(self, path: str) -> ManagementNode:
        self._namespace.find(path[: -len(DEAD_LETTER_SUFFIX)] if path.lower().endswith(DEAD_LETTER_SUFFIX) else path)
        return ManagementNode(self._namespace, path)

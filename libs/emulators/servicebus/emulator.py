"""The running emulator, as the HTTP side sees it."""

from dataclasses import dataclass, field

from .amqp.connection import Connection
from .broker.namespace import Namespace


@dataclass
class Emulator:
    """A namespace and the connections of its clients."""

    namespace: Namespace
    connections: set[Connection] = field(default_factory=set)

    def drop_connections(self) -> int:
        """Cut every AMQP connection, as a failing network would; return how many there were."""
        connections = list(self.connections)
        for connection in connections:
            connection.drop()
        return len(connections)

    def expire_locks(self) -> int:
        """Let every lock on a message expire; return how many there were."""
        return sum(
            inbox.messages.expire_locks() + inbox.dead_letters.expire_locks() for inbox in self.namespace.inboxes()
        )

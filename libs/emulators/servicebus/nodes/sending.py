"""The end of an entity that clients send to."""

from ..broker.message import BATCH_FORMAT, Message, unpack_batch
from ..broker.namespace import Namespace


class EntitySink:
    """Publishes what comes to the queue or topic at ``path``.

    The entity is looked up each time: it may be deleted, or made anew.
    """

    def __init__(self, namespace: Namespace, path: str) -> None:
        self._namespace = namespace
        self._path = path

    def accept(self, message: bytes, message_format: int) -> None:
        """Publish a message or a batch: all of it or, when AmqpError is raised, nothing."""
        destination = self._namespace.destination(self._path)
        for each in unpack_batch(message) if message_format == BATCH_FORMAT else [Message(message)]:
            destination.publish(each)

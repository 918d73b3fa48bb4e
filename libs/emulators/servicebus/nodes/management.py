"""The node ``<entity>/$management``: peeking, locks, schedules, deferred messages, settlement without a link.

Requests and responses: "AMQP 1.0 in Azure Service Bus: request-response-based operations" in the Azure documentation.
Entity management is not here but in ATOM over HTTP.
"""

import uuid
from collections.abc import Callable
from typing import Any

from ..amqp.decoder import decode_value
from ..amqp.errors import INVALID_FIELD, MESSAGE_LOCK_LOST, MESSAGE_NOT_FOUND, NOT_FOUND, NOT_IMPLEMENTED, AmqpError
from ..amqp.types import Array, Long, Symbol, Timestamp
from ..broker.message import AMQP_VALUE, Message, sections
from ..broker.namespace import Namespace
from .requests import RequestNode

_STATUS_BY_CONDITION = {MESSAGE_LOCK_LOST: 410, MESSAGE_NOT_FOUND: 404, NOT_FOUND: 404, NOT_IMPLEMENTED: 501}
_VENDOR = "com.microsoft:"
_TRACKING_ID = "com.microsoft:tracking-id"
_RECEIVE_AND_DELETE = 0

_Answer = tuple[int, dict[str, Any] | None]


class ManagementNode(RequestNode):
    """Operations on the entity at ``path``, which is looked up each time."""

    def __init__(self, namespace: Namespace, path: str) -> None:
        super().__init__()
        self._namespace = namespace
        self._path = path
        self._operations: dict[str, Callable[[dict[str, Any]], _Answer]] = {
            "peek-message": self._peek,
            "renew-lock": self._renew_lock,
            "schedule-message": self._schedule,
            "cancel-scheduled-message": self._cancel_scheduled,
            "receive-by-sequence-number": self._receive_deferred,
            "update-disposition": self._update_disposition,
        }

    def answer(self, request: Message) -> tuple[dict[str, Any], Any]:
        """Carry out an operation; a failure is an answer, too."""
        operation = str(request.application_properties.get("operation", ""))
        value = None
        try:
            status, value = self._operation(operation)(_body_of(request))
            properties: dict[str, Any] = {"statusCode": status, "statusDescription": "OK"}
        except AmqpError as error:
            properties = {
                "statusCode": _STATUS_BY_CONDITION.get(error.condition, 400),
                "statusDescription": error.description,
                "errorCondition": Symbol(error.condition),
            }
        except (KeyError, TypeError, ValueError) as error:
            properties = {
                "statusCode": 400,
                "statusDescription": f"The request '{operation}' lacks a field or has a wrong one: {error!r}.",
                "errorCondition": Symbol(INVALID_FIELD),
            }
        if _TRACKING_ID in request.application_properties:
            properties[_TRACKING_ID] = request.application_properties[_TRACKING_ID]
        return properties, value

    def _operation(self, name: str) -> Callable[[dict[str, Any]], _Answer]:
        operation = self._operations.get(name.removeprefix(_VENDOR))
        if operation is None:
            raise AmqpError(NOT_IMPLEMENTED, f"The operation '{name}' is not supported by this emulator.")
        return operation

    def _peek(self, body: dict[str, Any]) -> _Answer:
        queue = self._namespace.origin(self._path)
        messages = queue.peek(int(body["from-sequence-number"]), int(body["message-count"]))
        if not messages:
            return 204, None
        return 200, {"messages": [{"message": message.encode()} for message in messages]}

    def _renew_lock(self, body: dict[str, Any]) -> _Answer:
        queue = self._namespace.origin(self._path)
        expirations = [Timestamp(queue.renew(token)) for token in _tokens(body)]
        return 200, {"expirations": Array(expirations, Timestamp)}

    def _schedule(self, body: dict[str, Any]) -> _Answer:
        destination = self._namespace.destination(self._path)
        messages = [Message(bytes(each["message"])) for each in body["messages"]]
        # The number of a recognised duplicate is 0: there is nothing that could be cancelled.
        numbers = [Long(destination.publish(message) or 0) for message in messages]
        return 200, {"sequence-numbers": Array(numbers, Long)}

    def _cancel_scheduled(self, body: dict[str, Any]) -> _Answer:
        self._namespace.destination(self._path).cancel_scheduled([int(number) for number in body["sequence-numbers"]])
        return 200, None

    def _receive_deferred(self, body: dict[str, Any]) -> _Answer:
        queue = self._namespace.origin(self._path)
        lock = body.get("receiver-settle-mode", 1) != _RECEIVE_AND_DELETE
        messages = queue.receive_deferred([int(number) for number in body["sequence-numbers"]], lock=lock)
        found: list[dict[str, Any]] = [{"message": message.encode()} for message in messages]
        if lock:
            found = [{**each, "lock-token": message.lock_token} for each, message in zip(found, messages, strict=True)]
        return 200, {"messages": found}

    def _update_disposition(self, body: dict[str, Any]) -> _Answer:
        queue = self._namespace.origin(self._path)
        status = str(body["disposition-status"])
        reason, description = body.get("deadletter-reason"), body.get("deadletter-description")
        settle: dict[str, Callable[[uuid.UUID], None]] = {
            "completed": queue.complete,
            "abandoned": queue.abandon,
            "defered": queue.defer,  # the protocol spells it so
            "suspended": lambda token: queue.dead_letter(token, reason, description),
        }
        if status not in settle:
            raise AmqpError(NOT_IMPLEMENTED, f"The disposition status '{status}' is not supported by this emulator.")
        for token in _tokens(body):
            settle[status](token)
        return 200, None


def _body_of(request: Message) -> dict[str, Any]:
    octets = request.body_sections
    for descriptor, _, value_start, _ in sections(octets):
        if descriptor == AMQP_VALUE:
            value, _ = decode_value(octets, value_start)
            return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}
    return {}


def _tokens(body: dict[str, Any]) -> list[uuid.UUID]:
    tokens = list(body["lock-tokens"])
    if not all(isinstance(token, uuid.UUID) for token in tokens):
        raise TypeError("lock-tokens")
    return tokens

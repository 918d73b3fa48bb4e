"""Requests over $management and $cbs that the SDK does not make."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from libs.emulators.servicebus.amqp.errors import AmqpError
from libs.emulators.servicebus.amqp.types import Array, Long
from libs.emulators.servicebus.broker.message import AMQP_VALUE, Message, encode_section
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.broker.settings import QueueSettings
from libs.emulators.servicebus.nodes.cbs import CbsNode
from libs.emulators.servicebus.nodes.management import ManagementNode

Ask = Callable[..., tuple[dict[str, Any], Any]]


@pytest.fixture
def ask(namespace: Namespace, message: Any) -> Ask:
    """Ask the management node of the queue q."""
    namespace.create_queue("q", QueueSettings(detects_duplicates=True))
    node = ManagementNode(namespace, "q")

    def make(operation: str, body: Any, **properties: Any) -> tuple[dict[str, Any], Any]:
        octets = message.octets("request", operation=operation, **properties).split(encode_section(0x75, b"body"))[0]
        return node.answer(Message(octets + encode_section(AMQP_VALUE, body)))

    return make


def test_an_operation_that_is_not_there_is_answered_with_501(ask: Ask) -> None:
    properties, _ = ask("com.microsoft:add-rule", {})

    assert (properties["statusCode"], properties["errorCondition"]) == (501, "amqp:not-implemented")
    assert "'com.microsoft:add-rule' is not supported" in properties["statusDescription"]


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("peek-message", {}),
        ("peek-message", "text"),
        ("peek-message", {"from-sequence-number": "x", "message-count": 1}),
        ("renew-lock", {"lock-tokens": [1]}),
        ("schedule-message", {"messages": [{}]}),
        ("update-disposition", {"lock-tokens": []}),
    ],
)
def test_a_request_that_lacks_something_is_answered_with_400(ask: Ask, operation: str, body: Any) -> None:
    properties, value = ask(f"com.microsoft:{operation}", body)

    assert (properties["statusCode"], value) == (400, None)
    assert operation in properties["statusDescription"]


@pytest.mark.parametrize(
    ("operation", "body", "status"),
    [
        ("renew-lock", {"lock-tokens": Array([uuid.UUID(int=1)], uuid.UUID)}, 410),
        ("update-disposition", {"disposition-status": "completed", "lock-tokens": Array([uuid.UUID(int=1)])}, 410),
        ("update-disposition", {"disposition-status": "eaten", "lock-tokens": []}, 501),
        ("cancel-scheduled-message", {"sequence-numbers": Array([Long(7)], Long)}, 404),
        ("receive-by-sequence-number", {"sequence-numbers": Array([Long(7)], Long)}, 404),
        ("peek-message", {"from-sequence-number": Long(1), "message-count": 1}, 204),
    ],
)
def test_a_failure_has_the_status_of_service_bus(ask: Ask, operation: str, body: Any, status: int) -> None:
    properties, _ = ask(f"com.microsoft:{operation}", body)

    assert properties["statusCode"] == status


def test_a_tracking_id_comes_back(ask: Ask) -> None:
    properties, _ = ask("com.microsoft:peek-message", {}, **{"com.microsoft:tracking-id": "t-1"})

    assert properties["com.microsoft:tracking-id"] == "t-1"


def test_scheduling_a_duplicate_gives_the_number_zero(ask: Ask, message: Any) -> None:
    body = {"messages": [{"message": message.octets("a", delay_ms=1_000)}]}

    numbers = [ask("com.microsoft:schedule-message", body)[1]["sequence-numbers"] for _ in range(2)]

    assert numbers == [[1], [0]]


def test_any_token_is_accepted(message: Any) -> None:
    properties, value = CbsNode().answer(message("request", operation="put-token"))

    assert (properties["status-code"], value) == (202, None)


def test_a_request_cannot_be_a_batch(namespace: Namespace, message: Any) -> None:
    with pytest.raises(AmqpError, match="message format"):
        CbsNode().accept(message.octets(), 0x80013700)

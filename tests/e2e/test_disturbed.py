"""Containers killed, a network broken, messages that nobody can read: the week ends as if nothing had happened."""

from __future__ import annotations

import json
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from tests.e2e.stack import EMULATORS, SERVICES, Stack, docker, totals

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize("service", [*SERVICES, *EMULATORS])
def test_a_container_killed_in_the_middle_of_a_run_does_not_matter(
    stack: Stack, undisturbed: dict[str, Any], service: str
) -> None:
    monday = stack.next_monday()
    # A later stage is away meanwhile, so that the kill meets a run that is under way, however fast the machine is.
    away = "gate" if service == "sf_sync" else "sf_sync"
    stack.compose("stop", away)
    publication = stack.publish(monday)
    while not stack.runs(monday):
        assert publication.process.poll() is None
    stack.compose("kill", "--signal", "KILL", service)
    stack.compose("up", "--detach", "--no-recreate", "--wait", service, away)
    result = publication.result()
    assert totals(result)[0] == totals(undisturbed)[0], result["error"]
    assert len(stack.records(monday)) == result["sync"]["created"] + result["sync"]["updated"]
    assert result["rows_fetched"] == result["rows_valid"] + result["rows_rejected"]


def test_a_service_cut_off_from_the_broker_goes_on_when_the_network_heals(
    stack: Stack, undisturbed: dict[str, Any]
) -> None:
    network = f"{stack.project}_retl"
    (validator,) = stack.containers("validator")
    docker("network", "disconnect", network, validator)
    monday = stack.next_monday()
    publication = stack.publish(monday)
    while not stack.runs(monday):
        assert publication.process.poll() is None
    docker("network", "connect", network, validator)
    result = publication.result()
    assert totals(result)[0] == totals(undisturbed)[0], result["error"]
    assert len(stack.records(monday)) == result["sync"]["created"]


def test_a_message_that_nobody_can_read_is_put_aside_and_the_services_live_on(
    stack: Stack, undisturbed: dict[str, Any]
) -> None:
    with ServiceBusClient.from_connection_string(stack.servicebus) as client:
        for topic in ("week.requested", "events.extracted", "events.validated", "data.loaded", "gate.passed"):
            with client.get_topic_sender(topic) as sender:
                sender.send_messages(ServiceBusMessage("{not ours", message_id=f"poison-{topic}"))
    result = stack.publish(stack.next_monday()).result()
    assert totals(result)[0] == totals(undisturbed)[0], result["error"]
    letters = json.loads(stack.retl("dlq", "list", "--json"))
    poison = {letter["service"]: letter["reason"] for letter in letters if letter["message_id"].startswith("poison-")}
    assert poison == dict.fromkeys(SERVICES, "undecodable_message")

"""What an operator types, against a bus and a database that are really there (or really not)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from azure.servicebus import ServiceBusClient, ServiceBusMessage

from libs.common.state import open_state
from libs.common.week import Week
from tests.integration.command import Ended

Retl = Callable[..., Ended]
WEEK = "2026-01-05"
PIPELINE = "ecommerce_customer_weekly"


def put_aside(connection_string: str, body: str) -> None:
    """A message that the validator could not read."""
    with ServiceBusClient.from_connection_string(connection_string) as client:
        with client.get_topic_sender("events.extracted") as sender:
            sender.send_messages(ServiceBusMessage(body, message_id="odd"))
        with client.get_subscription_receiver("events.extracted", "validator") as receiver:
            (message,) = receiver.receive_messages(max_message_count=1, max_wait_time=20)
            receiver.dead_letter_message(message, reason="undecodable", error_description="no JSON")


def test_the_version_is_that_of_the_distribution(retl: Retl) -> None:
    assert retl("--version").out == f"retl {version('retl')}\n"


def test_the_tables_are_made_by_a_command_of_their_own(retl: Retl, tmp_path: Path) -> None:
    settings = {"STATE_URL": f"sqlite:///{tmp_path / 'new.db'}"}
    made = retl("migrate", **settings)
    assert made.status == 0
    assert "none →" in made.out
    assert retl("runs", **settings).status == 0


def test_dead_letters_of_all_services_are_listed_shown_and_discarded(
    retl: Retl, called_retl: Retl, pipeline: dict[str, str]
) -> None:
    put_aside(pipeline["SERVICEBUS_CONNECTION_STRING"], "{half")
    (letter,) = retl("dlq", "list", "--json", **pipeline).result
    assert (letter["service"], letter["message_id"], letter["reason"]) == ("validator", "odd", "undecodable")
    shown = called_retl("dlq", "show", "validator", str(letter["sequence"]), **pipeline)
    assert shown.status == 0
    assert "{half" in shown.out
    assert called_retl("dlq", "discard", "validator", "odd", **pipeline).status == 0
    assert called_retl("dlq", "list", "validator", "--json", **pipeline).result == []


def test_a_dead_letter_that_is_not_there_is_an_error_with_the_next_step(
    called_retl: Retl, pipeline: dict[str, str]
) -> None:
    shown = called_retl("dlq", "show", "gate", "nothing", **pipeline)
    assert shown.status == 1
    assert "retl dlq list gate" in shown.err


def test_an_unknown_service_is_wrong_usage(called_retl: Retl) -> None:
    listed = called_retl("dlq", "list", "transformer")
    assert listed.status == 2
    assert "extractor" in listed.err


def test_a_published_week_waits_on_the_bus_until_a_service_comes(retl: Retl, pipeline: dict[str, str]) -> None:
    published = retl("publish", "--week-start", WEEK, **pipeline)
    assert published.status == 0
    with (
        ServiceBusClient.from_connection_string(pipeline["SERVICEBUS_CONNECTION_STRING"]) as client,
        client.get_subscription_receiver("week.requested", "extractor") as receiver,
    ):
        (message,) = receiver.peek_messages()
    assert json.loads(str(message))["run_id"] == published.out.strip()


def test_the_next_week_without_a_checkpoint_is_an_error_with_the_next_step(
    called_retl: Retl, tables: dict[str, str]
) -> None:
    published = called_retl("publish", "--next", **tables)
    assert published.status == 1
    assert "retl publish --week-start" in published.err


async def succeeded(settings: dict[str, str], week: Week) -> None:
    """Move the checkpoint on, as this week's gate would."""
    state = open_state(settings["STATE_URL"])
    await state.advance_checkpoint(PIPELINE, week, datetime.now(UTC))
    await state.aclose()


def test_the_next_week_is_asked_for_only_when_it_is_over(called_retl: Retl, pipeline: dict[str, str]) -> None:
    today = datetime.now(UTC).date()
    monday = today - timedelta(days=today.weekday())
    last, before = (Week.of(monday - timedelta(weeks=weeks)) for weeks in (1, 2))

    asyncio.run(succeeded(pipeline, before))
    asked = called_retl("publish", "--next", **pipeline)
    assert (asked.status, str(last) in asked.err) == (0, True)

    asyncio.run(succeeded(pipeline, last))
    refused = called_retl("publish", "--next", **pipeline)
    assert (refused.status, "week_not_over" in refused.err) == (1, True)


def test_a_backfill_asks_for_every_week_and_not_backwards(
    retl: Retl, called_retl: Retl, pipeline: dict[str, str]
) -> None:
    asked = retl("backfill", "--from", "2026-01-05", "--to", "2026-01-19", **pipeline)
    assert [line.split("..")[0] for line in asked.out.splitlines()] == ["2026-01-05", "2026-01-12", "2026-01-19"]
    assert called_retl("backfill", "--from", "2026-01-19", "--to", "2026-01-05", **pipeline).status == 2


def test_the_doctor_finds_everything_well(retl: Retl, pipeline: dict[str, str]) -> None:
    examined = retl("doctor", **pipeline)
    assert examined.status == 0
    assert [line.split(":")[0].split()[0] for line in examined.out.splitlines()] == ["ok", "ok", "ok"]


def test_the_doctor_names_what_is_missing_and_what_to_do(called_retl: Retl, tmp_path: Path) -> None:
    examined = called_retl("doctor", STATE_URL=f"sqlite:///{tmp_path / 'new.db'}")
    assert examined.status == 1
    assert "retl migrate" in examined.out
    assert "SERVICEBUS_CONNECTION_STRING" in examined.out


def test_a_run_that_is_not_active_cannot_be_cancelled(retl: Retl, tables: dict[str, str]) -> None:
    cancelled = retl("cancel", "nobody", **tables)
    assert cancelled.status == 1
    assert "retl runs" in cancelled.err


def test_the_status_of_a_database_that_is_not_there_is_an_error_within_seconds(retl: Retl) -> None:
    asked = retl("status", STATE_URL="mssql+pyodbc://reader:hush@127.0.0.1:9/retl")
    assert asked.status == 1
    assert "hush" not in asked.err
    assert "Next:" in asked.err

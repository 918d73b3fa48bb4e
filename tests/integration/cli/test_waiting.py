"""`retl publish --wait`: what needs no more of the deployed pipeline than the bus and the extractor."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient

from tests.integration.command import Ended
from tests.integration.demo_week import DemoWeek

Retl = Callable[..., Ended]
ASKED = ("publish", "--week-start", "2026-01-05", "--wait", "--json")


def waiting_for_the_validator(pipeline: dict[str, str]) -> list[Any]:
    with (
        ServiceBusClient.from_connection_string(pipeline["SERVICEBUS_CONNECTION_STRING"]) as client,
        client.get_subscription_receiver("events.extracted", "validator") as receiver,
    ):
        return receiver.peek_messages()


@pytest.mark.parametrize(
    ("options", "key", "code"),
    [
        (("--api-key", "right"), "wrong", "api_unauthorised"),
        (("--api-key", "k", "--body", "anything"), "k", "api_response_unusable"),
    ],
    ids=["wrong key", "no known key in the body"],
)
def test_a_failure_ends_with_code_and_next_step_and_hands_nothing_on(
    called_retl: Retl,
    pipeline: dict[str, str],
    start_extractor: Callable[..., None],
    events_api: Callable[..., str],
    options: tuple[str, ...],
    key: str,
    code: str,
) -> None:
    start_extractor(API_BASE_URL=events_api(*options), API_KEY=key)
    done = called_retl(*ASKED, **pipeline)
    assert (done.status, done.result["status"]) == (1, "FAILED")
    assert done.result["error"]["code"] == code
    assert done.result["error"]["next_step"]
    assert code in done.err
    assert waiting_for_the_validator(pipeline) == []


def test_an_api_out_of_reach_is_retried_and_then_named(
    retl: Retl, called_retl: Retl, pipeline: dict[str, str], start_extractor: Callable[..., None]
) -> None:
    start_extractor(API_BASE_URL="http://127.0.0.1:9", API_MAX_RETRIES="0", RETRY_DELAYS_SEC="0.2")
    done = retl(*ASKED, **pipeline)
    assert (done.status, done.result["status"]) == (1, "FAILED")
    assert done.result["error"]["code"] == "api_unreachable"
    (stage,) = called_retl("status", "--json", **pipeline).result["stages"]
    assert stage["attempts"] == 2
    assert waiting_for_the_validator(pipeline) == []


def test_a_week_that_is_done_is_skipped_without_a_question_to_the_api(
    called_retl: Retl, pipeline: dict[str, str], start_extractor: Callable[..., None], demo: DemoWeek, tmp_path: Path
) -> None:
    shutil.copyfile(demo.folder / "state.db", tmp_path / "state.db")
    shutil.copytree(demo.folder / "lake", tmp_path / "lake")
    start_extractor(API_BASE_URL="http://127.0.0.1:9")
    done = called_retl(*ASKED, **pipeline)
    assert (done.status, done.result["status"]) == (0, "SKIPPED"), done.err
    assert waiting_for_the_validator(pipeline) == []

"""What the code takes for granted of the topology."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from libs.common.retry import MAX_DELAY_SEC
from libs.common.worker.consumer import MAX_DELIVERIES

TOPOLOGY = json.loads((Path(__file__).parents[3] / "deploy" / "servicebus" / "topology.json").read_bytes())
TOPICS = TOPOLOGY["UserConfig"]["Namespaces"][0]["Topics"]
SUBSCRIPTIONS = [(topic, subscription) for topic in TOPICS for subscription in topic["Subscriptions"]]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic["Name"])
def test_a_topic_recognises_repeats_for_longer_than_a_lock_lasts(topic: dict[str, Any]) -> None:
    assert topic["Properties"]["RequiresDuplicateDetection"] is True
    assert topic["Properties"]["DuplicateDetectionHistoryTimeWindow"] == "PT10M"


@pytest.mark.parametrize(("topic", "subscription"), SUBSCRIPTIONS, ids=lambda each: each["Name"])
def test_the_worker_gives_up_on_a_deadly_message_before_the_broker_does(
    topic: dict[str, Any], subscription: dict[str, Any]
) -> None:
    # A delivery count of N means N + 1 deliveries; the broker sets aside what was delivered MaxDeliveryCount times.
    assert subscription["Properties"]["MaxDeliveryCount"] > MAX_DELIVERIES + 1


@pytest.mark.parametrize(("topic", "subscription"), SUBSCRIPTIONS, ids=lambda each: each["Name"])
def test_a_retry_or_replay_reaches_only_the_subscription_that_it_targets(
    topic: dict[str, Any], subscription: dict[str, Any]
) -> None:
    (rule,) = subscription["Rules"]
    name = subscription["Name"]
    assert rule["Properties"]["SqlFilter"]["SqlExpression"] == f"target IS NULL OR target = '{name}'"


@pytest.mark.parametrize(("topic", "subscription"), SUBSCRIPTIONS, ids=lambda each: each["Name"])
def test_messages_live_longer_than_the_longest_delay(topic: dict[str, Any], subscription: dict[str, Any]) -> None:
    assert subscription["Properties"]["DefaultMessageTimeToLive"] == "PT1H"
    assert MAX_DELAY_SEC < 3600
    assert subscription["Properties"]["DeadLetteringOnMessageExpiration"] is True

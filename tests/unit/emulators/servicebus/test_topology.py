"""The topology file: that of the deployment, and what the format can say."""

import json
from pathlib import Path
from typing import Any

import pytest

from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.broker.rules import CorrelationFilter, SqlFilter
from libs.emulators.servicebus.broker.settings import QueueSettings, SubscriptionSettings, TopicSettings
from libs.emulators.servicebus.server import DEFAULT_TOPOLOGY
from libs.emulators.servicebus.topology import TopologyError, apply_topology, load_topology

HOUR_MS = 3_600_000


def write(file: Path, **entities: Any) -> Path:
    file.write_text(json.dumps({"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", **entities}]}}))
    return file


def subscription(**properties: Any) -> list[dict[str, Any]]:
    return [{"Name": "t", "Subscriptions": [{"Name": "s", **properties}]}]


def test_the_deployments_topology_gives_each_service_its_subscription(namespace: Namespace) -> None:
    apply_topology(load_topology(DEFAULT_TOPOLOGY), namespace)

    consumers = {topic.name: list(topic.subscriptions) for topic in namespace.topics.values()}
    assert consumers == {
        "week.requested": ["extractor"],
        "events.extracted": ["validator"],
        "events.validated": ["loader"],
        "data.loaded": ["gate"],
        "gate.passed": ["sf_sync"],
    }
    for topic in namespace.topics.values():
        assert topic.settings == TopicSettings(default_ttl_ms=HOUR_MS, detects_duplicates=True)
        for name, each in topic.subscriptions.items():
            assert (each.settings.default_ttl_ms, each.settings.dead_letters_expired) == (HOUR_MS, True)
            (rule,) = each.rule_descriptions
            assert rule.name == "for-me"
            assert rule.filter == SqlFilter(f"target IS NULL OR target = '{name}'")


def test_the_deployments_topology_stays_within_the_limits_of_microsofts_emulator() -> None:
    (namespace,) = json.loads(DEFAULT_TOPOLOGY.read_text())["UserConfig"]["Namespaces"]

    assert namespace["Name"] == "sbemulatorns"
    assert len(namespace["Queues"]) + len(namespace["Topics"]) <= 50
    assert {topic["Properties"]["DefaultMessageTimeToLive"] for topic in namespace["Topics"]} == {"PT1H"}


def test_queues_and_correlation_rules_are_read(namespace: Namespace, tmp_path: Path) -> None:
    correlation = {"Label": "order", "Properties": {"n": 1, "flag": True}}
    rule = {"Name": "r", "Properties": {"FilterType": "Correlation", "CorrelationFilter": correlation}}
    file = write(
        tmp_path / "topology.json",
        Queues=[{"Name": "q", "Properties": {"LockDuration": "PT30S", "MaxDeliveryCount": 4, "Unknown": 1}}],
        Topics=subscription(Rules=[rule]),
    )

    apply_topology(load_topology(file), namespace)

    assert namespace.queues["q"].settings == QueueSettings(lock_duration_ms=30_000, max_delivery_count=4)
    (read,) = namespace.topics["t"].subscriptions["s"].rule_descriptions
    assert read.filter == CorrelationFilter(label="order", properties={"n": 1, "flag": True})


def test_a_subscription_without_rules_wants_everything(namespace: Namespace, tmp_path: Path) -> None:
    apply_topology(load_topology(write(tmp_path / "t.json", Topics=subscription())), namespace)

    assert list(namespace.topics["t"].subscriptions["s"].rules) == ["$default"]


def test_applying_it_again_changes_what_it_names_and_leaves_the_rest(namespace: Namespace, tmp_path: Path) -> None:
    namespace.create_queue("mine", QueueSettings())
    namespace.create_queue("q", QueueSettings(max_delivery_count=2))
    namespace.create_topic("t", TopicSettings())
    namespace.create_subscription("t", "s", SubscriptionSettings())
    sql = {"FilterType": "Sql", "SqlFilter": {"SqlExpression": "a = 1"}}
    file = write(
        tmp_path / "topology.json",
        Queues=[{"Name": "q", "Properties": {"MaxDeliveryCount": 9}}],
        Topics=subscription(Rules=[{"Name": "only", "Properties": sql}], Properties={"MaxDeliveryCount": 7}),
    )

    apply_topology(load_topology(file), namespace)

    assert set(namespace.queues) == {"mine", "q"}
    assert namespace.queues["q"].settings.max_delivery_count == 9
    assert namespace.topics["t"].subscriptions["s"].settings.max_delivery_count == 7
    assert list(namespace.topics["t"].subscriptions["s"].rules) == ["only"]


@pytest.mark.parametrize(
    ("entities", "complaint"),
    [
        (
            {"Topics": subscription(Rules=[{"Name": "r", "Properties": {"FilterType": "Sql"}}])},
            "subscription s of topic t: Rule r needs the FilterType Sql and an SqlFilter",
        ),
        (
            {
                "Topics": subscription(
                    Rules=[
                        {"Name": "r", "Properties": {"FilterType": "Sql", "SqlFilter": {"SqlExpression": "a = = 1"}}}
                    ]
                )
            },
            "expected a property, a constant or '(', found '=' at character 5 of: a = = 1",
        ),
        (
            {"Topics": subscription(Rules=[{"Name": "r", "Properties": {"Action": {"SqlExpression": "SET a = 1"}}}])},
            "rule actions are not supported",
        ),
        ({"Topics": subscription(Properties={"ForwardTo": "q"})}, "Forwarding is not supported"),
        ({"Topics": [{"Name": "bad name"}]}, "topic bad name: 'bad name' cannot name"),
        ({"Queues": [{"Name": "q", "Properties": {"LockDuration": "P10675199DT2H48M5.4775807S"}}]}, "for ever"),
        ({"Queues": [{"Name": "q", "Properties": {"Status": "Disabled"}}]}, "Status Disabled is not supported"),
        ({"Queues": [{"Name": "q", "Properties": {"EnablePartitioning": True}}]}, "EnablePartitioning"),
    ],
)
def test_what_cannot_be_had_is_an_error_with_its_place(
    namespace: Namespace, tmp_path: Path, entities: dict[str, Any], complaint: str
) -> None:
    topology = load_topology(write(tmp_path / "t.json", **entities))

    with pytest.raises(TopologyError) as failure:
        apply_topology(topology, namespace)

    assert complaint in str(failure.value)

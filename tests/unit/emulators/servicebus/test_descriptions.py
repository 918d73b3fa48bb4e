"""Rules and entities come back from the XML that describes them."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.servicebus.admin.atom import SERVICE_BUS, XSI_TYPE, element, entry_document, read_description
from libs.emulators.servicebus.admin.descriptions import entity_entry, texts_of
from libs.emulators.servicebus.admin.rule_descriptions import read_rule, rule_entry
from libs.emulators.servicebus.broker.errors import InvalidEntityError
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.broker.rules import (
    CorrelationFilter,
    FalseFilter,
    Filter,
    RuleDescription,
    SqlFilter,
    TrueFilter,
)
from libs.emulators.servicebus.broker.settings import QueueSettings, SubscriptionSettings, TopicSettings
from libs.emulators.servicebus.properties import (
    QueueProperties,
    TopicProperties,
    queue_settings,
    read_texts,
    subscription_settings,
    topic_settings,
)

from .conftest import ManualScheduler

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF), min_size=1)
VALUES = st.dictionaries(
    TEXT, st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
)
FILTERS = st.one_of(
    st.just(TrueFilter()),
    st.just(FalseFilter()),
    st.builds(SqlFilter, TEXT, VALUES),
    st.builds(CorrelationFilter, label=st.none() | TEXT, message_id=st.none() | TEXT, properties=VALUES),
)


def namespace_with_a_topic() -> Namespace:
    namespace = Namespace(ManualScheduler())
    namespace.create_topic("t", TopicSettings())
    return namespace


@given(FILTERS)
def test_a_rule_comes_back_from_its_document(rule_filter: Filter) -> None:
    subscription = namespace_with_a_topic().create_subscription("t", "s", SubscriptionSettings())
    rule = RuleDescription("r", rule_filter, 7)

    document = entry_document(rule_entry(subscription, rule))

    assert read_rule(read_description(document), "r", 7) == rule


@given(
    st.builds(
        QueueSettings,
        lock_duration_ms=st.integers(5_000, 300_000),
        max_delivery_count=st.integers(1, 2_000),
        default_ttl_ms=st.none() | st.integers(1_000, 10**12),
        dead_letters_expired=st.booleans(),
        user_metadata=st.none() | TEXT,
        detects_duplicates=st.booleans(),
        duplicate_window_ms=st.integers(20_000, 604_800_000),
    )
)
def test_a_queue_comes_back_from_its_document(settings: QueueSettings) -> None:
    queue = Namespace(ManualScheduler()).create_queue("q", settings)

    texts = texts_of(read_description(entry_document(entity_entry(queue))))

    assert queue_settings(read_texts(texts, QueueProperties)) == settings


def test_a_topic_and_a_subscription_come_back_from_their_documents() -> None:
    namespace = namespace_with_a_topic()
    topic, subscription = (
        namespace.create_topic("u", TopicSettings(default_ttl_ms=5_000, detects_duplicates=True)),
        namespace.create_subscription("t", "s", SubscriptionSettings(max_delivery_count=3)),
    )

    read = [texts_of(read_description(entry_document(entity_entry(each)))) for each in (topic, subscription)]

    assert topic_settings(read_texts(read[0], TopicProperties)) == topic.settings
    assert subscription_settings(read_texts(read[1], QueueProperties)) == subscription.settings


@pytest.mark.parametrize(
    "document", [b"", b"text", b"<entry/>", b'<entry xmlns="http://www.w3.org/2005/Atom"><content/></entry>']
)
def test_a_document_without_a_description_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidEntityError):
        read_description(document)


@pytest.mark.parametrize(
    "texts", [{"MaxDeliveryCount": "many"}, {"RequiresDuplicateDetection": "perhaps"}, {"LockDuration": ["PT1M"]}]
)
def test_a_text_of_the_wrong_kind_is_refused_by_name(texts: dict[str, Any]) -> None:
    with pytest.raises(InvalidEntityError, match=next(iter(texts))):
        read_texts(texts, QueueProperties)


def rule_with_value(kind: str, text: str) -> ET.Element:
    description, node = element("RuleDescription"), element("Filter")
    node.set(XSI_TYPE, "CorrelationFilter")
    values = ET.SubElement(node, SERVICE_BUS + "Properties")
    pair = ET.SubElement(values, SERVICE_BUS + "KeyValueOfstringanyType")
    ET.SubElement(pair, SERVICE_BUS + "Key").text = "key"
    ET.SubElement(pair, SERVICE_BUS + "Value", {XSI_TYPE: f"x:{kind}"}).text = text
    description.append(node)
    return description


@pytest.mark.parametrize(("kind", "text"), [("int", "five"), ("double", ""), ("dateTime", "2024-01-01T00:00:00Z")])
def test_a_value_that_cannot_be_compared_is_refused_by_name(kind: str, text: str) -> None:
    with pytest.raises(InvalidEntityError, match=f"'key'.*{kind}"):
        read_rule(rule_with_value(kind, text), "r", 0)


def test_a_filter_of_an_unknown_type_is_refused() -> None:
    description = element("RuleDescription")
    description.append(element("Filter"))

    with pytest.raises(InvalidEntityError, match="A filter of the type ''"):
        read_rule(description, "r", 0)

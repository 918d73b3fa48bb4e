"""Every message version ever sent stays readable, and says today what it said then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import libs.common.messages as messages
from libs.common.bus.envelope import Outgoing
from libs.common.messages import UndecodableMessageError, decode, encode, message_id
from libs.common.messages.codec import AnyMessage

EXAMPLES = sorted((Path(messages.__file__).parent / "examples").glob("*.json"))
TOPOLOGY = Path(__file__).parents[3] / "deploy" / "servicebus" / "topology.json"
KINDS: list[type[messages.Message]] = list(AnyMessage.__args__)


def tag(kind: type[Any]) -> str:
    return str(kind.__struct_config__.tag)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_decodes_and_loses_nothing(path: Path) -> None:
    text = path.read_bytes()
    message = decode(text)
    assert json.loads(encode(message)).items() >= json.loads(text).items()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_of_the_version_that_its_file_is_named_after(path: Path) -> None:
    assert json.loads(path.read_bytes())["type"] == path.stem


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_field_that_is_not_known_yet_is_ignored(path: Path) -> None:
    text = path.read_bytes()
    newer = json.dumps({**json.loads(text), "added_later": {"x": 1}})
    assert decode(newer) == decode(text)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("field", ["run_id", "week_start", "correlation_id"])
def test_without_a_field_that_all_carry_it_is_refused_and_its_content_not_quoted(path: Path, field: str) -> None:
    document = json.loads(path.read_bytes())
    run_id = document["run_id"]
    del document[field]
    with pytest.raises(UndecodableMessageError, match=field) as caught:
        decode(json.dumps(document))
    assert run_id not in str(caught.value)


def test_every_message_that_is_sent_today_has_an_example() -> None:
    assert {tag(kind) for kind in KINDS} <= {path.stem for path in EXAMPLES}


def test_every_message_has_a_topic_of_the_topology_under_its_own_name() -> None:
    config = json.loads(TOPOLOGY.read_bytes())
    topics = {topic["Name"] for topic in config["UserConfig"]["Namespaces"][0]["Topics"]}
    assert {kind.topic for kind in KINDS} == topics
    assert all(tag(kind).startswith(f"{kind.topic}.v") for kind in KINDS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_message_id_is_the_same_for_every_repeat_and_short_enough_for_the_broker(path: Path) -> None:
    message = decode(path.read_bytes())
    again = decode(encode(message))
    assert message_id(message) == message_id(again)
    assert len(message_id(message)) + len("#replay-99#3.99") <= 128


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_outgoing_message_comes_back_from_the_state_tables_as_it_went_in(path: Path) -> None:
    outgoing = Outgoing.of(decode(path.read_bytes()), target="loader")
    assert Outgoing.from_json(outgoing.to_json()) == outgoing


@pytest.mark.parametrize("body", ["{}", "[]", "null", '{"type":"events.extracted.v2"}', "not json"])
def test_anything_else_is_refused(body: str) -> None:
    with pytest.raises(UndecodableMessageError):
        decode(body)


def test_dates_and_times_are_iso_8601_in_utc() -> None:
    request = json.loads((EXAMPLES[0].parent / "week.requested.v1.json").read_bytes())
    assert request["week_start"] == "2025-01-06"
    assert request["requested_at"].endswith("Z")

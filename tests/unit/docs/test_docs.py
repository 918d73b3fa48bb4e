"""What the documentation names exists: commands, targets, topics, codes, files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer

from libs.cli.__main__ import app
from libs.cli.consumers import CONSUMERS
from libs.common.messages import DataLoaded, EventsExtracted, EventsValidated, GatePassed, Message, WeekRequested

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
HANDBOOK = "\n".join(page.read_text() for page in PAGES)
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
LINKS = [
    (page, target)
    for page in PAGES
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    if not re.match(r"[a-z]+:|#", target)
]
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
TOPOLOGY = json.loads((ROOT / "deploy" / "servicebus" / "topology.json").read_bytes())
SUBSCRIPTIONS = {
    topic["Name"]: [subscription["Name"] for subscription in topic["Subscriptions"]]
    for topic in TOPOLOGY["UserConfig"]["Namespaces"][0]["Topics"]
}
MESSAGES: tuple[type[Message], ...] = (WeekRequested, EventsExtracted, EventsValidated, DataLoaded, GatePassed)
CODES = sorted(
    {
        code
        for folder in ("libs/common", "libs/cli", "services")
        for module in (ROOT / folder).rglob("*.py")
        for groups in re.findall(
            r"""^\s+code(?:: ClassVar\[str\])? ?= ?"([a-z_]+)"|Failure\("([a-z_]+)", "[^"]""",
            module.read_text(),
            re.MULTILINE,
        )
        for code in groups
        if code
    }
)


def _commands(typer_app: typer.Typer, prefix: str = "") -> set[str]:
    """`demo`, …, and `dlq list`, … as they are typed."""
    found = {f"{prefix}{each.name or getattr(each.callback, '__name__', '')}" for each in typer_app.registered_commands}
    for group in typer_app.registered_groups:
        found |= _commands(group.typer_instance or typer.Typer(), f"{prefix}{group.name} ")
    return found


COMMANDS = _commands(app)


def test_the_readme_opens_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert [line.split("#")[0].strip() for line in lines[2:4]] == ["make demo", "make test"]


NAMED_TARGETS = sorted(set(re.findall(r"(?:`|^ {4})make ([a-z][a-z0-9-]*)", HANDBOOK, re.MULTILINE)))


@pytest.mark.parametrize("target", NAMED_TARGETS)
def test_a_make_target_that_is_named_exists(target: str) -> None:
    assert target in TARGETS


@pytest.mark.parametrize("words", sorted(set(re.findall(r"\bretl ((?:dlq |sync )?[a-z][a-z-]+)\b", HANDBOOK))))
def test_a_command_that_is_named_exists(words: str) -> None:
    assert words in COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_explained_in_the_readme(command: str) -> None:
    assert f"`retl {command}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.topic)
def test_a_topic_is_in_the_topology_with_its_consumer(message: type[Message]) -> None:
    (consumer,) = (service for service, topic in CONSUMERS.items() if topic == message.topic)
    assert SUBSCRIPTIONS[message.topic] == [consumer]


def test_no_message_is_forgotten_here() -> None:
    assert set(Message.__subclasses__()) == set(MESSAGES)


@pytest.mark.parametrize(("page", "target"), LINKS, ids=[f"{page.name}:{target}" for page, target in LINKS])
def test_a_relative_link_leads_somewhere(page: Path, target: str) -> None:
    assert (page.parent / target.split("#")[0]).exists()


@pytest.mark.parametrize("code", CODES)
def test_the_runbook_says_what_to_do_about_a_code(code: str) -> None:
    assert f"`{code}`" in RUNBOOK


def test_the_runbook_knows_no_code_that_is_gone() -> None:
    named = set(re.findall(r"`([a-z_]+)`", RUNBOOK.split("## Codes")[1]))
    assert {word for word in named if "_" in word} <= set(CODES)

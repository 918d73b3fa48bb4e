"""What the code, the compose file and the Dockerfile say of the services: what manifests are held to."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, SecretStr

from libs.cli.stack import SERVICES
from libs.common.kit import Service
from libs.common.settings import CommonSettings, ServiceSettings
from libs.common.worker.locks import UNWIND_SEC
from libs.common.worker.worker import SETTLE_SEC

__all__ = ["SERVICES", "SETTLE_SEC", "UNWIND_SEC"]

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
TOPICS: dict[str, dict[str, Any]] = {
    topic["Name"]: topic
    for topic in json.loads((ROOT / "deploy/servicebus/topology.json").read_text())["UserConfig"]["Namespaces"][0][
        "Topics"
    ]
}
SUBSCRIPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    (topic, subscription["Name"]): subscription
    for topic, described in TOPICS.items()
    for subscription in described["Subscriptions"]
}
JOBS = ("publisher", "migrator")
STOP_SEC = ServiceSettings.model_fields["stop_grace_sec"].default + UNWIND_SEC + SETTLE_SEC
"""Longest that a service takes from SIGTERM until its messages are settled or handed back."""
HEALTH_PORT = ServiceSettings.model_fields["health_port"].default


def found(pattern: str) -> str:
    """What the Dockerfile says, which must be the same wherever it says it."""
    (value,) = set(re.findall(pattern, DOCKERFILE, re.MULTILINE))
    return cast(str, value)


USER, GROUP = map(int, found(r"^USER (\d+:\d+)$").split(":"))
SCRATCH = found(r"SCRATCH_DIR=(\S+)")


def dashed(service: str) -> str:
    """A service's name where underscores are not allowed."""
    return service.replace("_", "-")


def description(service: str) -> Service[Any, Any]:
    """The service's own `SERVICE`."""
    module = importlib.import_module(f"services.{service}.__main__")
    return cast("Service[Any, Any]", module.SERVICE)


def settings_of(service: str) -> type[ServiceSettings]:
    """The class of the service's settings."""
    return cast(type[ServiceSettings], description(service).settings)


def names(settings: type[BaseModel]) -> set[str]:
    """Environment names of settings."""
    return {name.upper() for name in settings.model_fields}


def secret_names(settings: type[BaseModel]) -> set[str]:
    """Those whose values must never be in a file."""
    return {name.upper() for name, field in settings.model_fields.items() if SecretStr in _parts(field.annotation)}


COMMON = names(CommonSettings)


def consumed(service: str) -> tuple[str, str]:
    """Topic and subscription."""
    described = description(service)
    return described.consumes.topic, described.name


def published(service: str) -> set[str]:
    """Topics that the service sends to: its own messages, and delayed copies of what it consumes."""
    described = description(service)
    return {message.topic for message in described.publishes} | {described.consumes.topic}


def image_of(compose_name: str) -> str:
    """The image's name in the compose file, without tag."""
    return cast(str, COMPOSE[compose_name]["image"].split(":")[0])


def memory_mib(compose_name: str) -> int:
    """The compose file's limit of memory."""
    return int(re.fullmatch(r"(\d+)m", COMPOSE[compose_name]["mem_limit"])[1])  # type: ignore[index]  # or the test fails


def _parts(annotation: Any) -> set[Any]:
    return {annotation, *getattr(annotation, "__args__", ())}

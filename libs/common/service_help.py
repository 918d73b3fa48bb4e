"""The text of `python -m services.<name> --help`: what an operator needs without reading code."""

from __future__ import annotations

import textwrap
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from libs.common.failpoints import POINTS
from libs.common.kit import Service

WIDTH = 100


def usage(service: Service[Any, Any]) -> str:
    """Topics, exit status, and every setting with its default and description."""
    published = ", ".join(message.topic for message in service.publishes) or "nothing"
    settings = "\n".join(
        _entry(name, field) for name, field in sorted(service.settings.model_fields.items(), key=_required_first)
    )
    return f"""usage: python -m services.{service.name} [--help]

{textwrap.fill(" ".join(service.about.split()), WIDTH)}

Consumes   {service.consumes.topic} (subscription {service.name})
Publishes  {published}
Stage      {service.stage}

What fails in passing is delivered again after RETRY_DELAYS_SEC; after that, or where trying again cannot help, the
run is FAILED with code, text and next step, an alert goes out, and the message is in the dead letters.
SIGTERM stops gently within STOP_GRACE_SEC. Exit status: 0 stopped, 1 failed, 2 wrong settings, 130 forced to stop.
Answers /livez, /readyz and /metrics on HEALTH_PORT.

Settings (environment, or .env in the working directory):
{settings}

Failpoints: {", ".join(POINTS)}.
"""


def _required_first(item: tuple[str, FieldInfo]) -> tuple[bool, str]:
    name, field = item
    return not field.is_required(), name


def _entry(name: str, field: FieldInfo) -> str:
    text = textwrap.fill(
        f"{field.description or ''} {_default(field)}", WIDTH, initial_indent="      ", subsequent_indent="      "
    )
    return f"  {name.upper()}\n{text}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None or default is PydanticUndefined:
        return "(default: not set)"
    if isinstance(default, tuple):
        default = ",".join(f"{item:g}" if isinstance(item, float) else str(item) for item in default)
    return f"(default: {default})"

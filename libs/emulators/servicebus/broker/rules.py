"""Rules of subscriptions: a message is delivered, once, if any rule's filter matches."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .. import sqlfilter
from .errors import InvalidEntityError
from .message import Message
from .settings import check_rule_name

DEFAULT_RULE = "$Default"

FilterValue = str | bool | int | float

# Positions in the properties section. "subject" is the AMQP name of what Service Bus called label first.
_SYSTEM_PROPERTIES = {
    "messageid": 0, "to": 2, "label": 3, "subject": 3, "replyto": 4, "correlationid": 5, "contenttype": 6,
    "sessionid": 10, "replytosessionid": 12,
}  # fmt: skip


class TrueFilter(msgspec.Struct, frozen=True, tag="true"):
    """Matches every message."""


class FalseFilter(msgspec.Struct, frozen=True, tag="false"):
    """Matches none."""


class SqlFilter(msgspec.Struct, frozen=True, tag="sql"):
    """Matches by an expression; ``parameters`` are the values of names such as ``@id`` in it."""

    expression: str
    parameters: dict[str, FilterValue] = {}


class CorrelationFilter(msgspec.Struct, frozen=True, tag="correlation", kw_only=True):
    """Matches a message whose properties equal all that are given here; at least one must be."""

    message_id: str | None = None
    to: str | None = None
    label: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    content_type: str | None = None
    session_id: str | None = None
    reply_to_session_id: str | None = None
    properties: dict[str, FilterValue] = {}


Filter = TrueFilter | FalseFilter | SqlFilter | CorrelationFilter


class RuleDescription(msgspec.Struct, frozen=True):
    """A rule as an administrator gives it. ``created_ms`` is the time of its creation, UTC."""

    name: str
    filter: Filter = TrueFilter()
    created_ms: int = 0


class MessageProperties:
    """A message as filters see it, made once for all rules of a topic."""

    def __init__(self, message: Message) -> None:
        self._system = message.properties
        self._user = {str(name).lower(): value for name, value in message.application_properties.items()}

    def system(self, name: str) -> Any:
        """Return the value of a system property, None when it is not set."""
        return self._system[_SYSTEM_PROPERTIES[name]]

    def user(self, name: str) -> Any:
        """Return the value of a user property, None when there is none."""
        return self._user.get(name)

    def has_user(self, name: str) -> bool:
        """Tell whether a user property is there, null or not."""
        return name in self._user


class Rule:
    """A rule that is ready to be asked. Raises InvalidEntityError for a name or filter that cannot be used."""

    def __init__(self, description: RuleDescription) -> None:
        check_rule_name(description.name)
        self.description = description
        self.matches: Callable[[MessageProperties], bool] = _predicate(description)


def _predicate(rule: RuleDescription) -> Callable[[MessageProperties], bool]:
    match rule.filter:
        case TrueFilter():
            return lambda _: True
        case FalseFilter():
            return lambda _: False
        case SqlFilter(expression, parameters):
            try:
                return sqlfilter.parse(expression, system_properties=_SYSTEM_PROPERTIES, parameters=parameters).matches
            except sqlfilter.SqlSyntaxError as error:
                raise InvalidEntityError(f"Rule '{rule.name}' has an invalid SQL filter: {error}") from error
        case CorrelationFilter() as wanted:
            return _correlation(rule.name, wanted)


def _correlation(rule_name: str, wanted: CorrelationFilter) -> Callable[[MessageProperties], bool]:
    given = {name.replace("_", ""): getattr(wanted, name) for name in wanted.__struct_fields__ if name != "properties"}
    system: Mapping[str, str] = {name: value for name, value in given.items() if value is not None}
    user = {name.lower(): value for name, value in wanted.properties.items()}
    if not system and not user:
        raise InvalidEntityError(f"Rule '{rule_name}' has a correlation filter without a property to compare.")

    def matches(properties: MessageProperties) -> bool:
        return all(_same(properties.system(name), value) for name, value in system.items()) and all(
            _same(properties.user(name), value) for name, value in user.items()
        )

    return matches


def _same(actual: Any, wanted: FilterValue) -> bool:
    if isinstance(actual, bool) or isinstance(wanted, bool):
        return actual is wanted
    return bool(actual == wanted)

"""What expressions mean: names, members, operators, loops, and the functions that our files call."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Expression = Callable[["Scope"], Any]

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
    "%": operator.mod,
}


class Runtime(str):
    """A text that only Azure knows, as where it comes from: `id-x-gate.properties.clientId`."""

    __slots__ = ()


class Scope:
    """Names and what they stand for; what is a `Lazy` is worked out once, when it is first asked for."""

    def __init__(self, names: Mapping[str, Any], folder: Path = Path(), outer: Scope | None = None) -> None:
        self._names = dict(names)
        self._outer = outer
        self.folder = folder

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            if self._outer is None:
                raise NameError(f"{name} is declared nowhere")
            return self._outer[name]
        value = self._names[name]
        if isinstance(value, Lazy):
            self._names[name] = value = value.make()
        return value

    def declare(self, name: str, value: Any) -> None:
        """Add a name, once."""
        if name in self._names:
            raise NameError(f"{name} is declared twice")
        self._names[name] = value

    def inner(self, names: Mapping[str, Any]) -> Scope:
        """With the variables of a loop or a lambda besides."""
        return Scope(names, self.folder, self)


class Lazy:
    """A declaration that was not needed yet."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def operate(sign: str, left: Expression, right: Expression) -> Expression:
    """A binary operator; the three that may leave their right side alone do."""
    if sign == "&&":
        return lambda scope: left(scope) and right(scope)
    if sign == "||":
        return lambda scope: left(scope) or right(scope)
    if sign == "??":
        return lambda scope: right(scope) if (value := left(scope)) is None else value
    return lambda scope: _OPERATORS[sign](left(scope), right(scope))


def member(value: Expression, name: str, *, optional: bool = False) -> Expression:
    """`value.name`, or `value.?name`, which may be missing."""
    return lambda scope: _get(value(scope), name, optional=optional)


def index(value: Expression, key: Expression, *, optional: bool = False) -> Expression:
    """`value[key]`, or `value[?key]`, which may be missing."""
    return lambda scope: _get(value(scope), key(scope), optional=optional)


def _get(value: Any, key: Any, *, optional: bool) -> Any:
    if isinstance(value, Runtime):
        return Runtime(f"{value}.{key}")
    if hasattr(value, "member"):
        return value.member(key)
    if optional and key not in value:
        return None
    return value[key]


def loop(names: list[str], source: Expression, condition: Expression | None, body: Expression) -> Expression:
    """`[for x in source: body]`; an item whose condition is false becomes None, which is what its index then gives."""

    def run(scope: Scope) -> list[Any]:
        found = []
        for number, item in enumerate(source(scope)):
            inner = scope.inner(dict(zip(names, (item, number), strict=False)))
            found.append(body(inner) if condition is None or condition(inner) else None)
        return found

    return run


def call(name: str, arguments: list[Expression]) -> Expression:
    """A function of Bicep."""
    if name == "loadJsonContent":
        return lambda scope: json.loads((scope.folder / arguments[0](scope)).read_text())
    function = _FUNCTIONS.get(name)
    if function is None:
        raise NameError(f"{name} is no function that we know")
    return lambda scope: function(*(argument(scope) for argument in arguments))


def _union(*values: Any) -> Any:
    if isinstance(values[0], dict):
        return {key: item for value in values for key, item in value.items()}
    return list(dict.fromkeys(item for value in values for item in value))


def _environment() -> dict[str, Any]:
    return {"suffixes": {"storage": "core.windows.net", "keyvaultDns": ".vault.azure.net"}}


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "union": _union,
    "empty": lambda value: not value,
    "items": lambda value: [{"key": key, "value": value[key]} for key in sorted(value)],
    "concat": lambda *lists: [item for each in lists for item in each],
    "map": lambda items, function: [function(item) for item in items],
    "filter": lambda items, predicate: [item for item in items if predicate(item)],
    "contains": lambda container, item: item in container,
    "range": lambda start, count: list(range(start, start + count)),
    "length": len,
    "take": lambda value, count: value[:count],
    "replace": lambda text, old, new: text.replace(old, new),
    "json": json.loads,
    "uniqueString": lambda *_: "uniqueuniqueu",
    "guid": lambda *parts: "guid(" + ", ".join(parts) + ")",
    "resourceGroup": lambda: {"id": Runtime("resourceGroup.id"), "location": "here"},
    "tenant": lambda: {"tenantId": Runtime("tenant.id")},
    "environment": _environment,
    "bool": json.loads,
    "toLower": lambda text: text.lower(),
    "readEnvironmentVariable": lambda name, default=None: name.lower() if default is None else default,
    "subscriptionResourceId": lambda kind, name: f"{kind}/{name}",
}

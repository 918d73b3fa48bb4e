"""Deploying a file: its parameters checked, its modules followed, its resources collected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.unit.deploy.bicep.parsing import BicepError, Parser, Statement
from tests.unit.deploy.bicep.scope import Lazy, Runtime, Scope

_TYPES: dict[str, type] = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource, declared or (`existing`) only referred to."""

    type: str
    version: str
    name: str
    """With the names of its parents before it."""
    scope: Resource | None
    """What a role assignment, or another extension, is laid on."""
    body: dict[str, Any]

    def member(self, name: str) -> Any:
        """What another expression sees of it."""
        if name == "name":
            return self.name.rsplit("/", 1)[-1]
        if name == "id":
            return Runtime(f"{self.type}/{self.name}")
        return Runtime(f"{self.name}.{name}")

    @property
    def properties(self) -> dict[str, Any]:
        """The body's `properties`."""
        found: dict[str, Any] = self.body.get("properties", {})
        return found


@dataclass(slots=True)
class Deployment:
    """What deploying would create, and what it would put out."""

    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    secure: dict[str, set[str]] = field(default_factory=dict)
    """File → its parameters that are marked @secure()."""

    def of(self, kind: str) -> list[Resource]:
        """Resources of this type."""
        return [resource for resource in self.resources if resource.type == kind]


@dataclass(frozen=True, slots=True)
class _Module:
    outputs: Mapping[str, Any]

    def member(self, name: str) -> Any:
        if name != "outputs":
            raise BicepError(f"a module has outputs, and no {name}")
        return self.outputs


def deploy(path: Path, /, **params: Any) -> Deployment:
    """What the file makes of these parameters. Raises BicepError, NameError, KeyError where it is wrong."""
    deployment = Deployment()
    deployment.outputs = _deploy(path, params, deployment)
    return deployment


def read_params(path: Path) -> tuple[Path, dict[str, Any]]:
    """The template that a .bicepparam file is for, and its values."""
    statements = _statements(path.read_text(), path.name)
    values = {statement.name: statement.value(Scope({})) for statement in statements if statement.value is not None}
    return path.parent / values.pop("using"), values


@cache
def _statements(text: str, origin: str) -> tuple[Statement, ...]:
    """A text is parsed once, however many deployments use it."""
    return tuple(Parser(text, origin).statements())


def _deploy(path: Path, params: Mapping[str, Any], into: Deployment) -> dict[str, Any]:
    statements = _statements(path.read_text(), path.name)
    declared = [statement for statement in statements if statement.kind == "param"]
    if unknown := set(params) - {statement.name for statement in declared}:
        raise BicepError(f"{path.name} has no parameter {', '.join(sorted(unknown))}")
    into.secure[path.name] = {statement.name for statement in declared if "secure" in statement.decorators}
    scope = Scope({}, path.parent)
    makers: dict[str, Callable[[Statement], Any]] = {
        "param": lambda statement: _param(statement, params, scope, path),
        "var": lambda statement: statement.value and statement.value(scope),
        "resource": lambda statement: _bodies(statement, scope, partial(_resource, statement, into)),
        "module": lambda statement: _bodies(statement, scope, partial(_module, statement, path, into)),
    }
    named = [statement for statement in statements if statement.kind in makers]
    for statement in named:
        scope.declare(statement.name, Lazy(partial(makers[statement.kind], statement)))
    for statement in named:
        _ = scope[statement.name]  # also what nobody refers to
    return {
        statement.name: _typed(statement, statement.value(scope), path)
        for statement in statements
        if statement.kind == "output" and statement.value is not None
    }


def _param(statement: Statement, params: Mapping[str, Any], scope: Scope, path: Path) -> Any:
    if statement.name in params:
        value = params[statement.name]
    elif statement.value is not None:
        value = statement.value(scope)
    else:
        raise BicepError(f"{path.name} is not given {statement.name}")
    if allowed := statement.decorators.get("allowed"):
        choices = allowed[0](scope)
        if value not in choices:
            raise BicepError(f"{statement.name} must be one of {choices}")
    return _typed(statement, value, path)


def _typed(statement: Statement, value: Any, path: Path) -> Any:
    if not isinstance(value, _TYPES[statement.detail]) or (statement.detail == "int" and isinstance(value, bool)):
        raise BicepError(f"{path.name}: {statement.name} is no {statement.detail}, but {value!r}")
    return value


def _bodies(statement: Statement, scope: Scope, make: Callable[[dict[str, Any]], Any]) -> Any:
    assert statement.body is not None
    if statement.body.condition is not None and not statement.body.condition(scope):
        return None
    value = statement.body.value(scope)
    if statement.body.loops:
        return [None if each is None else make(each) for each in value]
    return make(value)


def _resource(statement: Statement, into: Deployment, body: dict[str, Any]) -> Resource:
    kind, _, version = statement.detail.partition("@")
    own = dict(body)
    parent, scope, name = own.pop("parent", None), own.pop("scope", None), own.pop("name")
    if parent is not None and kind.rsplit("/", 1)[0] != parent.type:
        raise BicepError(f"{statement.name}: {kind} is no child of {parent.type}")
    resource = Resource(kind, version, f"{parent.name}/{name}" if parent else name, scope, own)
    if not statement.existing:
        into.resources.append(resource)
    return resource


def _module(statement: Statement, path: Path, into: Deployment, body: dict[str, Any]) -> _Module:
    if set(body) != {"name", "params"}:
        raise BicepError(f"{statement.name}: a module of ours has name and params")
    return _Module(_deploy(path.parent / statement.detail, body["params"], into))

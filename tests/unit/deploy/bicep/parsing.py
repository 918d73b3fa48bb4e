"""From text to statements whose expressions are functions of a scope."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.unit.deploy.bicep.scope import Expression, Scope, call, index, loop, member, operate

_SPACE = re.compile(r"(?:[ \t]|//[^\n]*)*")
_BLANK = re.compile(r"(?:[ \t\r\n]|//[^\n]*)*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_NUMBER = re.compile(r"\d+")
_ESCAPES = {"\\": "\\", "'": "'", "n": "\n", "r": "\r", "t": "\t", "$": "$"}
_LEVELS = (("??",), ("||",), ("&&",), ("==", "!="), ("<=", ">=", "<", ">"), ("+", "-"), ("*", "/", "%"))
_CONSTANTS = {"true": True, "false": False, "null": None}


class BicepError(Exception):
    """The text is not what this interpreter knows of Bicep."""


@dataclass(frozen=True, slots=True)
class Body:
    """Of a resource or a module: once, on a condition, or once for each item."""

    value: Expression
    condition: Expression | None = None
    loops: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """A declaration. `detail` is a parameter's or an output's type, a resource's type or a module's path."""

    kind: str
    name: str
    detail: str = ""
    value: Expression | None = None
    body: Body | None = None
    existing: bool = False
    decorators: dict[str, list[Expression]] = field(default_factory=dict)


class Parser:
    """Recursive descent over the text."""

    def __init__(self, text: str, origin: str) -> None:
        self._text = text
        self._at = 0
        self._origin = origin

    def statements(self) -> list[Statement]:
        """All of the file."""
        found = []
        while self._skip(_BLANK) and self._at < len(self._text):
            found.append(self._statement())
        return found

    def _statement(self) -> Statement:
        decorators = {}
        while self._take("@"):
            name = self._name()
            self._expect("(")
            decorators[name] = self._until(")", self.expression)
            self._skip(_BLANK)
        kind = self._name()
        if kind == "targetScope":
            self._expect("=")
            return Statement(kind, kind, value=self.expression())
        if kind == "using":
            return Statement(kind, kind, value=self.expression())
        name = self._name()
        if kind in ("param", "output"):
            detail = "" if self._peek("=") else self._name()  # in a .bicepparam, it is the template that has the type
            value = self.expression() if self._take("=") else None
            return Statement(kind, name, detail, value, decorators=decorators)
        if kind == "var":
            self._expect("=")
            return Statement(kind, name, value=self.expression())
        if kind in ("resource", "module"):
            detail = str(self._string()(Scope({})))
            existing = self._take("existing")
            self._expect("=")
            return Statement(kind, name, detail, body=self._body(), existing=existing, decorators=decorators)
        raise self._error(f"no statement of ours: {kind}")

    def _body(self) -> Body:
        if self._peek("["):
            return Body(self.expression(), loops=True)
        return Body(condition=self._condition(), value=self.expression())

    def _condition(self) -> Expression | None:
        if not self._take("if"):
            return None
        self._expect("(")
        condition = self.expression()
        self._expect(")")
        return condition

    def expression(self) -> Expression:
        """`a ? b : c`, of which each part may begin a line."""
        condition = self._binary(0)
        before = self._at
        self._skip(_BLANK)
        if not self._take("?", unless="??"):
            self._at = before
            return condition
        self._skip(_BLANK)
        yes = self.expression()
        self._skip(_BLANK)
        self._expect(":")
        self._skip(_BLANK)
        no = self.expression()
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def _binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while operator := next((sign for sign in _LEVELS[level] if self._take(sign)), None):
            self._skip(_BLANK)
            left = operate(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Expression:
        if self._take("!"):
            operand = self._unary()
            return lambda scope: not operand(scope)
        return self._postfix(self._primary())

    def _postfix(self, value: Expression) -> Expression:
        while True:
            if self._take(".?"):
                value = member(value, self._name(), optional=True)
            elif self._take("."):
                value = member(value, self._name())
            elif self._text.startswith("!", self._at) and not self._text.startswith("!=", self._at):
                self._at += 1  # "is there", as when its condition is ours
            elif self._text.startswith("[", self._at):
                self._at += 1
                optional = self._take("?")
                value = index(value, self.expression(), optional=optional)
                self._expect("]")
            else:
                return value

    def _primary(self) -> Expression:
        self._skip(_SPACE)
        if self._peek("'"):
            return self._string()
        if self._take("("):
            inner = self.expression()
            self._expect(")")
            return inner
        if self._take("["):
            return self._array()
        if self._take("{"):
            return self._object()
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return lambda _: int(number[0])
        name = self._name()
        if name in _CONSTANTS:
            return lambda _: _CONSTANTS[name]
        if self._take("=>"):
            body = self.expression()
            return lambda scope: lambda item: body(scope.inner({name: item}))
        if self._take("("):
            arguments = self._until(")", self.expression)
            return call(name, arguments)
        return lambda scope: scope[name]

    def _array(self) -> Expression:
        self._skip(_BLANK)
        if not self._take("for", word=True):
            items = self._until("]", self.expression)
            return lambda scope: [item(scope) for item in items]
        names = [self._name()] if not self._take("(") else self._until(")", self._name)
        self._expect("in")
        source = self.expression()
        self._expect(":")
        condition = self._condition()
        self._skip(_BLANK)
        body = self.expression()
        self._skip(_BLANK)
        self._expect("]")
        return loop(names, source, condition, body)

    def _object(self) -> Expression:
        pairs = self._until("}", self._pair)
        return lambda scope: {key(scope): value(scope) for key, value in pairs}

    def _pair(self) -> tuple[Expression, Expression]:
        key = self._string() if self._peek("'") else (lambda name: lambda _: name)(self._name())
        self._expect(":")
        return key, self.expression()

    def _string(self) -> Expression:
        self._expect("'")
        pieces: list[Expression] = []
        text = ""
        while not self._text.startswith("'", self._at):
            if self._at >= len(self._text) or self._text[self._at] == "\n":
                raise self._error("a string without end")
            if self._text.startswith("${", self._at):
                self._at += 2
                pieces += [(lambda piece: lambda _: piece)(text), self.expression()]
                text = ""
                self._expect("}")
                continue
            if self._text[self._at] == "\\":
                self._at += 1
                text += _ESCAPES[self._text[self._at]]
            else:
                text += self._text[self._at]
            self._at += 1
        self._at += 1
        if not pieces:
            return lambda _: text
        return lambda scope: "".join(str(piece(scope)) for piece in pieces) + text

    def _until(self, end: str, item: Callable[[], Any]) -> list[Any]:
        """Items between here and `end`, on lines of their own or between commas."""
        found = []
        self._skip(_BLANK)
        while not self._take(end):
            found.append(item())
            before = self._at
            self._skip(_BLANK)
            if not self._take(",") and "\n" not in self._text[before : self._at] and not self._peek(end):
                raise self._error("an item ends neither with a comma nor with its line")
            self._skip(_BLANK)
        return found

    def _name(self) -> str:
        self._skip(_SPACE)
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise self._error("a name is due")
        self._at = found.end()
        return found[0]

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return True

    def _peek(self, sign: str) -> bool:
        self._skip(_SPACE)
        return self._text.startswith(sign, self._at)

    def _take(self, sign: str, *, unless: str | None = None, word: bool = False) -> bool:
        if not self._peek(sign) or (unless and self._text.startswith(unless, self._at)):
            return False
        end = self._at + len(sign)
        if (word or sign.isalpha()) and re.match(r"\w", self._text[end : end + 1]):
            return False
        self._at = end
        return True

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._error(f"{sign} is due")

    def _error(self, text: str) -> BicepError:
        line = self._text.count("\n", 0, self._at) + 1
        return BicepError(f"{self._origin}:{line}: {text}")

"""The parts of a parsed filter, each of which can be evaluated against a message.

Unknown is None: the value of a property that is absent or null, and of every operator that meets it, except where the
truth tables of the documentation say otherwise. An operator between types that do not go together is unknown, too; a
filter matches when it is True.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

# bool, int, float, str; also UUIDs and octets, which can be equal or not
Value = Any


class Properties(Protocol):
    """What a filter can ask a message for. Names are in lower case: property names are not case-sensitive."""

    def system(self, name: str) -> Value:
        """Return the value of a system property, None when it is not set."""

    def user(self, name: str) -> Value:
        """Return the value of a user property, None when there is none."""

    def has_user(self, name: str) -> bool:
        """Tell whether a user property is there, null or not."""


class Expression(Protocol):
    """A part of a filter."""

    def evaluate(self, properties: Properties) -> Value:
        """Return the value for one message."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal or the value of a parameter."""

    value: Value

    def evaluate(self, _: Properties) -> Value:
        """Return it."""
        return self.value


@dataclass(frozen=True, slots=True)
class Property:
    """A property; ``scope`` is "sys" or "user"."""

    scope: str
    name: str

    def evaluate(self, properties: Properties) -> Value:
        """Return its value."""
        return properties.system(self.name) if self.scope == "sys" else properties.user(self.name)

    def exists(self, properties: Properties) -> bool:
        """Tell whether it is there."""
        return properties.system(self.name) is not None if self.scope == "sys" else properties.has_user(self.name)


@dataclass(frozen=True, slots=True)
class NamedProperty:
    """``property(name)``: the user property whose name is computed."""

    name: Expression

    def evaluate(self, properties: Properties) -> Value:
        """Return its value."""
        name = self.name.evaluate(properties)
        return properties.user(name.lower()) if isinstance(name, str) else None


@dataclass(frozen=True, slots=True)
class And:
    """Both."""

    left: Expression
    right: Expression

    def evaluate(self, properties: Properties) -> bool | None:
        """False if either is, else unknown if either is."""
        left = self.left.evaluate(properties)
        if left is False:
            return False
        right = self.right.evaluate(properties)
        return False if right is False else (None if left is None or right is None else True)


@dataclass(frozen=True, slots=True)
class Or:
    """Either."""

    left: Expression
    right: Expression

    def evaluate(self, properties: Properties) -> bool | None:
        """True if either is, else unknown if either is."""
        left = self.left.evaluate(properties)
        if left is True:
            return True
        right = self.right.evaluate(properties)
        return True if right is True else (None if left is None or right is None else False)


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary."""

    operand: Expression

    def evaluate(self, properties: Properties) -> bool | None:
        """Unknown stays unknown."""
        value = self.operand.evaluate(properties)
        return None if value is None else not value


_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
COMPARISONS = frozenset(_ORDERINGS)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values compared. Text compares by code point, case-sensitively."""

    symbol: str
    left: Expression
    right: Expression

    def evaluate(self, properties: Properties) -> bool | None:
        """Unknown unless both are numbers, both text, or both of another same type that can only be equal or not."""
        return compare(self.symbol, self.left.evaluate(properties), self.right.evaluate(properties))


def compare(symbol: str, left: Value, right: Value) -> bool | None:
    """Compare two values with an operator of COMPARISONS."""
    both_ordered = (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str))
    if both_ordered or (symbol in ("=", "<>", "!=") and left is not None and type(left) is type(right)):
        return _ORDERINGS[symbol](left, right)
    return None


@dataclass(frozen=True, slots=True)
class In:
    """A value in a list."""

    operand: Expression
    candidates: tuple[Expression, ...]

    def evaluate(self, properties: Properties) -> bool | None:
        """True if it equals one, else unknown if it or a comparison is."""
        value = self.operand.evaluate(properties)
        results = [compare("=", value, candidate.evaluate(properties)) for candidate in self.candidates]
        if True in results:
            return True
        return None if value is None or None in results else False


@dataclass(frozen=True, slots=True)
class Like:
    """Text that matches a pattern of ``%`` and ``_``."""

    operand: Expression
    pattern: Expression
    escape: Expression | None

    def evaluate(self, properties: Properties) -> bool | None:
        """Unknown unless all operands are text and the escape is one character."""
        value, pattern = self.operand.evaluate(properties), self.pattern.evaluate(properties)
        escape = self.escape.evaluate(properties) if self.escape is not None else ""
        if not (isinstance(value, str) and isinstance(pattern, str) and isinstance(escape, str)) or len(escape) > 1:
            return None
        return _like_regex(pattern, escape).fullmatch(value) is not None


@lru_cache(maxsize=256)
def _like_regex(pattern: str, escape: str) -> re.Pattern[str]:
    parts = []
    characters = iter(pattern)
    for character in characters:
        if escape and character == escape:
            parts.append(re.escape(next(characters, escape)))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return re.compile("".join(parts), re.DOTALL)


@dataclass(frozen=True, slots=True)
class IsNull:
    """A property without a value."""

    operand: Expression

    def evaluate(self, properties: Properties) -> bool:
        """Never unknown."""
        return self.operand.evaluate(properties) is None


@dataclass(frozen=True, slots=True)
class Exists:
    """A property that is there."""

    operand: Property

    def evaluate(self, properties: Properties) -> bool:
        """Never unknown; a null property exists."""
        return self.operand.exists(properties)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two numbers computed: integers divide towards zero, as in C#."""

    symbol: str
    left: Expression
    right: Expression

    def evaluate(self, properties: Properties) -> Value:
        """Unknown unless both are numbers and the result is one."""
        left, right = self.left.evaluate(properties), self.right.evaluate(properties)
        if not (_is_number(left) and _is_number(right)):
            return None
        try:
            return _ARITHMETIC[self.symbol](left, right)
        except (ZeroDivisionError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Negation:
    """A number with its sign turned."""

    operand: Expression

    def evaluate(self, properties: Properties) -> Value:
        """Unknown unless it is a number."""
        value = self.operand.evaluate(properties)
        return -value if _is_number(value) else None


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _divide(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _remainder(left: Any, right: Any) -> Any:
    return left - right * _divide(left, right) if isinstance(left, int) and isinstance(right, int) else left % right


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _divide, "%": _remainder,
}  # fmt: skip

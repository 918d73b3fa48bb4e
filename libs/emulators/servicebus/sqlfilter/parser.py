"""Tokens to a condition: recursive descent, one method for each rule of the grammar, loosest binding first."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from . import expressions as e
from .lexer import Kind, SqlSyntaxError, Token, tokenize

# The quota of Service Bus for the text of a condition.
MAX_LENGTH = 1024
_MAX_DEPTH = 32

_Rule = Callable[[], e.Expression]
_PREDICATES = (e.And, e.Or, e.Not, e.Comparison, e.In, e.Like, e.IsNull, e.Exists)


@dataclass(frozen=True, slots=True)
class Condition:
    """A whole filter."""

    text: str
    _root: e.Expression = field(repr=False)

    def matches(self, properties: e.Properties) -> bool:
        """Tell whether the condition is true for a message; unknown is not true."""
        return self._root.evaluate(properties) is True


def parse(
    text: str, *, system_properties: Collection[str], parameters: Mapping[str, e.Value] | None = None
) -> Condition:
    """Parse a filter.

    ``system_properties`` are the names after ``sys.`` that there are, in lower case; ``parameters`` the values of
    names such as ``@id``. Raises SqlSyntaxError for text that is no condition, an unknown system property, or a
    parameter without a value.
    """
    if len(text) > MAX_LENGTH:
        raise SqlSyntaxError(f"a filter may have {MAX_LENGTH} characters; it goes on", text, MAX_LENGTH)
    return Condition(text, _Parser(text, system_properties, parameters or {}).condition())


class _Parser:
    def __init__(self, text: str, system_properties: Collection[str], parameters: Mapping[str, e.Value]) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._index = 0
        self._depth = 0
        self._system_properties = system_properties
        self._parameters = parameters

    def condition(self) -> e.Expression:
        root = self._predicate(self._disjunction)
        if self._token.kind is not Kind.END:
            self._fail("expected AND, OR or the end")
        return root

    # Predicates

    def _disjunction(self) -> e.Expression:
        return self._chain(self._conjunction, "OR", e.Or)

    def _conjunction(self) -> e.Expression:
        return self._chain(self._negation, "AND", e.And)

    def _chain(self, operand: _Rule, keyword: str, join: type[e.And | e.Or]) -> e.Expression:
        start = self._token
        left = operand()
        while self._token.kind is Kind.KEYWORD and self._token.text == keyword:
            self._require_predicate(left, start)
            self._advance()
            left = join(left, self._predicate(operand))
        return left

    def _negation(self) -> e.Expression:
        if not self._accept("NOT"):
            return self._comparison()
        with self._nested():
            return e.Not(self._predicate(self._negation))

    def _comparison(self) -> e.Expression:
        start = self._token
        left = self._sum()
        symbol = self._token.text
        if self._token.kind is Kind.SYMBOL and symbol in e.COMPARISONS:
            self._require_value(left, start)
            self._advance()
            return e.Comparison(symbol, left, self._value(self._sum))
        if self._accept("IS"):
            negated = self._accept("NOT")
            self._expect("NULL")
            if not isinstance(left, e.Property):
                self._fail("IS NULL needs a property before it", start)
            return _negate_if(negated, e.IsNull(left))
        negated = self._accept("NOT")
        if self._accept("IN"):
            self._require_value(left, start)
            return _negate_if(negated, e.In(left, self._candidates()))
        if self._accept("LIKE"):
            self._require_value(left, start)
            pattern = self._value(self._sum)
            escape = self._escape() if self._accept("ESCAPE") else None
            return _negate_if(negated, e.Like(left, pattern, escape))
        if negated:
            self._fail("expected IN or LIKE after NOT")
        return left

    def _candidates(self) -> tuple[e.Expression, ...]:
        self._expect("(")
        candidates = [self._value(self._sum)]
        while self._accept(","):
            candidates.append(self._value(self._sum))
        self._expect(")")
        return tuple(candidates)

    def _escape(self) -> e.Expression:
        start = self._token
        escape = self._value(self._sum)
        if isinstance(escape, e.Constant) and not (isinstance(escape.value, str) and len(escape.value) == 1):
            self._fail("ESCAPE needs a string of one character", start)
        return escape

    # Values

    def _sum(self) -> e.Expression:
        return self._arithmetic(self._product, "+-")

    def _product(self) -> e.Expression:
        return self._arithmetic(self._signed, "*/%")

    def _arithmetic(self, operand: _Rule, symbols: str) -> e.Expression:
        start = self._token
        left = operand()
        while self._token.kind is Kind.SYMBOL and self._token.text in symbols:
            self._require_value(left, start)
            symbol = self._advance().text
            left = e.Arithmetic(symbol, left, self._value(operand))
        return left

    def _signed(self) -> e.Expression:
        if self._accept("-"):
            with self._nested():
                return e.Negation(self._value(self._signed))
        if self._accept("+"):
            with self._nested():
                return self._value(self._signed)
        return self._primary()

    def _primary(self) -> e.Expression:
        token = self._token
        match token.kind, token.text:
            case Kind.STRING, text:
                self._advance()
                return e.Constant(text)
            case Kind.NUMBER, text:
                self._advance()
                return e.Constant(int(text) if text.isdecimal() else float(text))
            case Kind.KEYWORD, ("TRUE" | "FALSE" | "NULL") as word:
                self._advance()
                return e.Constant({"TRUE": True, "FALSE": False, "NULL": None}[word])
            case Kind.KEYWORD, "EXISTS":
                self._advance()
                self._expect("(")
                operand = self._property()
                self._expect(")")
                return e.Exists(operand)
            case Kind.PARAMETER, name:
                if name not in self._parameters:
                    self._fail(f"the parameter {name} has no value")
                self._advance()
                return e.Constant(self._parameters[name])
            case Kind.SYMBOL, "(":
                self._advance()
                with self._nested():
                    inner = self._disjunction()
                self._expect(")")
                return inner
            case Kind.NAME, _ if self._peek() == "(" and not token.quoted:
                return self._function()
            case Kind.NAME, _:
                return self._property()
        return self._fail("expected a property, a constant or '('")

    def _function(self) -> e.Expression:
        token = self._token
        if token.text.lower() not in ("property", "p"):
            self._fail(f"there is no function {token.text}; only property(name), p(name)")
        self._advance()
        self._expect("(")
        name = self._value(self._sum)
        self._expect(")")
        return e.NamedProperty(name)

    def _property(self) -> e.Property:
        token = self._expect_name()
        if not self._accept("."):
            return e.Property("user", token.text.lower())
        scope = token.text.lower()
        if scope not in ("sys", "user"):
            self._fail(
                f"there is no scope {token.text}; only sys and user ([a name with dots] goes into brackets)", token
            )
        name = self._expect_name()
        if scope == "sys" and name.text.lower() not in self._system_properties:
            known = ", ".join(sorted(self._system_properties))
            self._fail(f"there is no system property {name.text} (known: {known})", name)
        return e.Property(scope, name.text.lower())

    # Kinds of expressions

    def _predicate(self, rule: _Rule) -> e.Expression:
        start = self._token
        expression = rule()
        self._require_predicate(expression, start)
        return expression

    def _value(self, rule: _Rule) -> e.Expression:
        start = self._token
        expression = rule()
        self._require_value(expression, start)
        return expression

    def _require_predicate(self, expression: e.Expression, start: Token) -> None:
        if not isinstance(expression, _PREDICATES) and not (
            isinstance(expression, e.Constant) and isinstance(expression.value, bool)
        ):
            self._fail("expected a condition, such as a comparison", start)

    def _require_value(self, expression: e.Expression, start: Token) -> None:
        if isinstance(expression, _PREDICATES):
            self._fail("expected a value, not a condition", start)

    # Tokens

    @property
    def _token(self) -> Token:
        return self._tokens[self._index]

    def _peek(self) -> str:
        return self._tokens[self._index + 1].text

    def _advance(self) -> Token:
        token = self._token
        self._index += 1
        return token

    def _accept(self, text: str) -> bool:
        found = self._token.kind in (Kind.KEYWORD, Kind.SYMBOL) and self._token.text == text
        self._index += found
        return found

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            self._fail(f"expected {text!r}")

    def _expect_name(self) -> Token:
        if self._token.kind is not Kind.NAME:
            self._fail("expected the name of a property")
        return self._advance()

    @contextmanager
    def _nested(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._fail(f"nested more than {_MAX_DEPTH} deep")
        yield
        self._depth -= 1

    def _fail(self, problem: str, token: Token | None = None) -> NoReturn:
        at = token or self._token
        found = f", found {at.text!r}" if at.kind is not Kind.END and token is None else ""
        raise SqlSyntaxError(problem + found, self._text, at.offset)


def _negate_if(negated: bool, predicate: e.Expression) -> e.Expression:
    return e.Not(predicate) if negated else predicate

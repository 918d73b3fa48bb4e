"""Parses SOQL: SELECT … FROM … [WHERE] [GROUP BY] [ORDER BY] [LIMIT] [OFFSET] on one object."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from libs.emulators.salesforce.soql.lexer import Token, tokens, unquoted
from libs.emulators.salesforce.soql.syntax import (
    Aggregate,
    Column,
    Comparison,
    Condition,
    Logical,
    Membership,
    Not,
    Order,
    Query,
    SoqlError,
    Value,
)

_AGGREGATES = frozenset({"COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"})
_RESERVED = frozenset({"FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "OFFSET", "AND", "OR", "NOT", "IN", "LIKE"})
_COMPARISONS = frozenset({"=", "!=", "<>", "<", ">", "<=", ">="})


def parse(text: str) -> Query:
    """Parse a query. Raises SoqlError MALFORMED_QUERY telling the token and its position."""
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._at = 0

    def query(self) -> Query:
        self._keyword("SELECT")
        select = [self._selected()]
        while self._symbol(","):
            select.append(self._selected())
        self._keyword("FROM")
        source = self._name()
        where = self._either() if self._is_keyword("WHERE") else None
        group_by = self._names_after("GROUP")
        order_by = self._order_by()
        limit = self._count() if self._is_keyword("LIMIT") else None
        offset = self._count() if self._is_keyword("OFFSET") else 0
        if self._next.kind != "end":
            raise self._unexpected()
        return Query(tuple(select), source, where, group_by, order_by, limit, offset)

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _unexpected(self) -> SoqlError:
        return SoqlError("MALFORMED_QUERY", f"unexpected token: '{self._next.text}' at position {self._next.position}")

    def _advance(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def _is_keyword(self, word: str) -> bool:
        """Take the keyword if it comes next."""
        if self._next.kind == "name" and self._next.text.upper() == word:
            self._at += 1
            return True
        return False

    def _keyword(self, word: str) -> None:
        if not self._is_keyword(word):
            raise self._unexpected()

    def _symbol(self, text: str) -> bool:
        """Take the symbol if it comes next."""
        if self._next.kind == "symbol" and self._next.text == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._symbol(text):
            raise self._unexpected()

    def _name(self) -> str:
        if self._next.kind != "name" or self._next.text.upper() in _RESERVED:
            raise self._unexpected()
        return self._advance().text

    def _count(self) -> int:
        if self._next.kind != "number" or not self._next.text.isdigit():
            raise self._unexpected()
        return int(self._advance().text)

    def _selected(self) -> Column | Aggregate:
        name = self._name()
        if not self._symbol("("):
            return Column(name)
        if name.upper() not in _AGGREGATES:
            self._at -= 2
            raise self._unexpected()
        field = None if self._next.text == ")" and name.upper() == "COUNT" else self._name()
        self._expect(")")
        alias = None
        if self._next.kind == "name" and self._next.text.upper() not in _RESERVED:
            alias = self._name()
        return Aggregate(name.upper(), field, alias)

    def _names_after(self, word: str) -> tuple[str, ...]:
        if not self._is_keyword(word):
            return ()
        self._keyword("BY")
        names = [self._name()]
        while self._symbol(","):
            names.append(self._name())
        return tuple(names)

    def _order_by(self) -> tuple[Order, ...]:
        if not self._is_keyword("ORDER"):
            return ()
        self._keyword("BY")
        terms = [self._order_term()]
        while self._symbol(","):
            terms.append(self._order_term())
        return tuple(terms)

    def _order_term(self) -> Order:
        field = self._name()
        descending = self._is_keyword("DESC")
        if not descending:
            self._is_keyword("ASC")
        nulls_first = None
        if self._is_keyword("NULLS"):
            nulls_first = self._is_keyword("FIRST")
            if not nulls_first:
                self._keyword("LAST")
        return Order(field, descending, nulls_first)

    def _either(self) -> Condition:
        return self._joined("OR")

    def _joined(self, operator: Literal["AND", "OR"]) -> Condition:
        inner = self._unary if operator == "AND" else lambda: self._joined("AND")
        conditions = [inner()]
        while self._is_keyword(operator):
            conditions.append(inner())
        return conditions[0] if len(conditions) == 1 else Logical(operator, tuple(conditions))

    def _unary(self) -> Condition:
        if self._is_keyword("NOT"):
            return Not(self._unary())
        if self._symbol("("):
            inner = self._either()
            self._expect(")")
            return inner
        return self._predicate()

    def _predicate(self) -> Condition:
        field = self._name()
        if self._next.kind == "symbol" and self._next.text in _COMPARISONS:
            operator = self._advance().text.replace("<>", "!=")
            return Comparison(field, operator, self._value())
        if self._is_keyword("LIKE"):
            return Comparison(field, "LIKE", self._value(like=True))
        negated = self._is_keyword("NOT")
        self._keyword("IN")
        self._expect("(")
        values = [self._value()]
        while self._symbol(","):
            values.append(self._value())
        self._expect(")")
        return Membership(field, tuple(values), negated)

    def _value(self, *, like: bool = False) -> Value:
        token = self._next
        word = token.text.upper()
        match token.kind:
            case "string":
                value = Value("string", unquoted(token.text, like=like))
            case "number":
                value = Value("number", Decimal(token.text))
            case "date" | "datetime":
                value = Value(token.kind, token.text)
            case "name" if word in ("TRUE", "FALSE"):
                value = Value("boolean", word == "TRUE")
            case "name" if word == "NULL":
                value = Value("null", None)
            case _:
                raise self._unexpected()
        self._at += 1
        return value

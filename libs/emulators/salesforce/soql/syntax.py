"""The syntax tree of a SOQL query."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

LiteralKind = Literal["string", "number", "boolean", "null", "date", "datetime"]


class SoqlError(Exception):
    """A query cannot be parsed or does not fit the object; ``code`` is Salesforce's errorCode."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Value:
    """A literal as written, with the kind that its form shows."""

    kind: LiteralKind
    value: str | Decimal | bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator literal``; the operator is one of = != < > <= >= LIKE."""

    field: str
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Membership:
    """``field [NOT] IN (literals)``."""

    field: str
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """``NOT condition``."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Logical:
    """Conditions joined by AND or by OR."""

    operator: Literal["AND", "OR"]
    conditions: tuple[Condition, ...]


Condition = Comparison | Membership | Not | Logical


@dataclass(frozen=True, slots=True)
class Column:
    """A selected field."""

    field: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A selected aggregate such as ``SUM(field) alias``; COUNT() alone has no field."""

    function: str
    field: str | None
    alias: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """One ORDER BY term; ``nulls_first`` None means the default, which is first for either direction."""

    field: str
    descending: bool
    nulls_first: bool | None


@dataclass(frozen=True, slots=True)
class Query:
    """A whole SELECT."""

    select: tuple[Column | Aggregate, ...]
    source: str
    where: Condition | None
    group_by: tuple[str, ...]
    order_by: tuple[Order, ...]
    limit: int | None
    offset: int

    @property
    def counts_only(self) -> bool:
        """Whether this is ``SELECT COUNT() FROM …``."""
        return len(self.select) == 1 and isinstance(self.select[0], Aggregate) and self.select[0].field is None

    @property
    def aggregates(self) -> bool:
        """Whether the result holds AggregateResult rows."""
        return bool(self.group_by) or any(isinstance(item, Aggregate) for item in self.select)

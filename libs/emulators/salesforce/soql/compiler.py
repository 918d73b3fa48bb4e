"""Turns a parsed query into SQLite's SQL for one object's table, with Salesforce's meaning of null and of types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from libs.emulators.salesforce.errors import RowRefused
from libs.emulators.salesforce.schema import DECIMAL_TYPES, Field, Schema, SObject
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
from libs.emulators.salesforce.values import Stored, WrongType, converter, json_renderer

MAX_OFFSET = 2_000
_KINDS = {
    "date": "date",
    "datetime": "datetime",
    "boolean": "boolean",
    "int": "number",
    "id": "string",
} | dict.fromkeys(DECIMAL_TYPES, "number")
Render = Callable[[Stored], object]
Parameter = Stored | float


@dataclass(frozen=True, slots=True)
class Compiled:
    """A query ready to run.

    ``rows_sql`` finds the sequence numbers of a plain query in order; ``columns`` then tells what to read of each. For
    aggregates ``rows_sql`` gives the finished rows. ``outputs`` are the JSON names and renderers by position.
    """

    object: SObject
    rows_sql: str
    parameters: tuple[Parameter, ...]
    columns: tuple[str, ...]
    outputs: tuple[tuple[str, Render], ...]
    counts_only: bool
    aggregates: bool


def compile_query(query: Query, schema: Schema, *, with_deleted: bool) -> Compiled:
    """Check the query against the schema and compile it.

    Raises SoqlError: INVALID_TYPE for the object, INVALID_FIELD for fields and types of literals, else MALFORMED_QUERY.
    """
    one = schema.find(query.source)
    if one is None:
        raise SoqlError(
            "INVALID_TYPE",
            f"sObject type '{query.source}' is not supported. If you are attempting to use a custom object, be sure to "
            "append the '__c' after the entity name.",
        )
    return _Compiler(one, with_deleted).compile(query)


class _Compiler:
    def __init__(self, one: SObject, with_deleted: bool) -> None:
        self._object = one
        self._with_deleted = with_deleted
        self._parameters: list[Parameter] = []

    def compile(self, query: Query) -> Compiled:
        columns, outputs = self._select(query)
        conditions = [] if self._with_deleted else ["IsDeleted = 0"]
        if query.where is not None:
            conditions.append(self._condition(query.where))
        sql = "COUNT(*)" if query.counts_only else ", ".join(columns) if query.aggregates else "seq"
        sql = f"SELECT {sql} FROM {self._object.table}"
        if conditions:
            sql += " WHERE " + " AND ".join(conditions)
        if query.group_by:
            sql += " GROUP BY " + ", ".join(self._field(name).column for name in query.group_by)
        if query.order_by:
            sql += " ORDER BY " + ", ".join(self._order(term) for term in query.order_by)
        if query.offset > MAX_OFFSET:
            raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
        if query.limit is not None or query.offset:
            sql += f" LIMIT {-1 if query.limit is None else query.limit} OFFSET {query.offset}"
        return Compiled(
            self._object, sql, tuple(self._parameters), columns, outputs, query.counts_only, query.aggregates
        )

    def _field(self, name: str) -> Field:
        bare = name.partition(".")[2] if name.lower().startswith(f"{self._object.name.lower()}.") else name
        field = self._object.field(bare)
        if field is None:
            raise SoqlError(
                "INVALID_FIELD",
                f"No such column '{name}' on entity '{self._object.name}'. If you are attempting to use a custom "
                "field, be sure to append the '__c' after the custom field name.",
            )
        return field

    def _select(self, query: Query) -> tuple[tuple[str, ...], tuple[tuple[str, Render], ...]]:
        columns: list[str] = []
        outputs: list[tuple[str, Render]] = []
        grouped = {self._field(name).name for name in query.group_by}
        for item in query.select:
            if isinstance(item, Column):
                field = self._field(item.field)
                if query.aggregates and field.name not in grouped:
                    raise SoqlError("MALFORMED_QUERY", f"Field must be grouped or aggregated: {field.name}")
                columns.append(field.column)
                outputs.append((field.name, json_renderer(field, self._object.ids)))
            elif item.field is not None:
                unnamed = sum(name.startswith("expr") for name, _ in outputs)
                column, render = self._aggregate(item, self._field(item.field))
                columns.append(column)
                outputs.append((item.alias or f"expr{unnamed}", render))
            elif not query.counts_only:
                raise SoqlError("MALFORMED_QUERY", "COUNT() must be the only element in the SELECT list")
        names = [name for name, _ in outputs]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise SoqlError("MALFORMED_QUERY", f"duplicate field selected: {repeated}")
        return tuple(columns), tuple(outputs)

    def _aggregate(self, item: Aggregate, field: Field) -> tuple[str, Render]:
        if item.function in ("COUNT", "COUNT_DISTINCT"):
            return f"COUNT({'DISTINCT ' * item.function.endswith('DISTINCT')}{field.column})", lambda value: value
        numeric = field.type in DECIMAL_TYPES or field.type == "int"
        if item.function in ("SUM", "AVG") and not numeric:
            raise SoqlError(
                "INVALID_FIELD", f"{item.function} does not support field {field.name} of type {field.type}"
            )
        if item.function == "AVG":
            unit = 10**field.scale if field.type in DECIMAL_TYPES else 1
            return f"AVG({field.column}) / {unit}.0", lambda value: value
        return f"{item.function}({field.column})", json_renderer(field, self._object.ids)

    def _order(self, term: Order) -> str:
        first = term.nulls_first is not False
        direction = "DESC" if term.descending else "ASC"
        return f"{self._field(term.field).column} {direction} NULLS {'FIRST' if first else 'LAST'}"

    def _condition(self, condition: Condition) -> str:
        match condition:
            case Comparison():
                return self._comparison(condition)
            case Membership():
                return self._membership(condition)
            case Not(inner):
                # a comparison with null is false in SOQL, so that its negation is true
                return f"NOT IFNULL({self._condition(inner)}, 0)"
            case Logical(operator, conditions):
                return "(" + f" {operator} ".join(self._condition(one) for one in conditions) + ")"

    def _comparison(self, comparison: Comparison) -> str:
        field = self._field(comparison.field)
        if comparison.operator == "LIKE":
            if comparison.value.kind != "string" or _KINDS.get(field.type, "string") != "string" or field.type == "id":
                raise SoqlError("INVALID_FIELD", f"invalid operator on {field.type} field {field.name}: LIKE")
            self._parameters.append(str(comparison.value.value))
            return f"{field.column} LIKE ? ESCAPE '\\'"
        operator = {"=": "IS", "!=": "IS NOT"}.get(comparison.operator, comparison.operator)
        self._parameters.append(self._literal(field, comparison.value))
        return f"{field.column} {operator} ?"

    def _membership(self, membership: Membership) -> str:
        field = self._field(membership.field)
        values = [self._literal(field, value) for value in membership.values]
        self._parameters.extend(value for value in values if value is not None)
        marks = ", ".join("?" for value in values if value is not None)
        found = f"{field.column} IN ({marks})"
        if None in values:
            found = f"({found} OR {field.column} IS NULL)"
        return f"NOT IFNULL({found}, 0)" if membership.negated else found

    def _literal(self, field: Field, value: Value) -> Parameter:
        if value.kind == "null":
            return None
        expected = _KINDS.get(field.type, "string")
        if value.kind != expected:
            quotes = "should not be enclosed in quotes" if value.kind == "string" else f"not {value.kind}"
            if expected == "string":
                quotes = "should be enclosed in quotes"
            raise SoqlError(
                "INVALID_FIELD",
                f"value of filter criterion for field '{field.name}' must be of type {field.type} and {quotes}",
            )
        if isinstance(value.value, Decimal):
            return _exact(value.value, field)
        if field.type == "picklist" or (expected == "string" and field.type != "id"):
            return str(value.value)
        text = str(value.value)
        try:
            return converter(field, self._object.ids)(text)
        except (WrongType, RowRefused) as error:
            if field.type == "id":
                raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}") from error
            raise SoqlError("MALFORMED_QUERY", f"invalid {field.type} literal: {text}") from error


def _exact(number: Decimal, field: Field) -> Parameter:
    """Scale a literal; one with more decimals than the field has stays between two of its values."""
    scaled = number * 10 ** (field.scale if field.type in DECIMAL_TYPES else 0)
    return int(scaled) if scaled == scaled.to_integral_value() else float(scaled)

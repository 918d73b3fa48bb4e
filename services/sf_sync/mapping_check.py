"""Holds the mapping against the signals' schema and Salesforce's `describe`; all faults come in one message. Pure."""

import difflib
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dict
from typing import Any, Final

import pyarrow as pa

from services.sf_sync.errors import MappingError
from services.sf_sync.mapping import KEY_COLUMN, FieldMap, Format, Mapping, ResolvedField, ResolvedMapping

_TEXT_TYPES: Final = frozenset(
    {"string", "textarea", "picklist", "multipicklist", "combobox", "email", "phone", "url", "id", "reference"}
)
_ACCEPTS: Final[dict[Format, frozenset[str]]] = {
    Format.TEXT: _TEXT_TYPES,
    Format.NUMBER: frozenset({"double", "currency", "percent", "int", "long"}),
    Format.DATE: frozenset({"date"}),
    Format.DATETIME: frozenset({"datetime"}),
    Format.BOOLEAN: frozenset({"boolean"}),
}
_PICKLISTS: Final = frozenset({"picklist", "multipicklist"})

Describe = Dict[str, Any]
"""What `GET /sobjects/{object}/describe` answers; only the members that are used here must be there."""


def picklist_columns(mapping: Mapping, describe: Describe) -> list[str]:
    """Columns whose distinct values `resolve` needs, because a restricted picklist would refuse a foreign value."""
    fields = _by_name(describe)
    return sorted({line.column for name, line in mapping.fields.items() if _is_restricted(fields.get(name, {}))})


def resolve(
    mapping: Mapping, schema: pa.Schema, describe: Describe, distinct: Dict[str, Sequence[str]] | None = None
) -> ResolvedMapping:
    """The mapping with limits from the org.

    `schema` is the signals'; `distinct` holds the values found in the columns that `picklist_columns` named.
    Raises MappingError with every fault: nothing has been sent then.
    """
    faults = [
        *_object_faults(mapping, describe),
        *_field_faults(mapping, schema, describe, distinct or {}),
    ]
    if faults:
        raise _error(mapping, faults)
    fields = _by_name(describe)
    order = [mapping.external_id, *(name for name in mapping.fields if name != mapping.external_id)]
    return ResolvedMapping(
        object=mapping.object,
        external_id=mapping.external_id,
        fields=tuple(_resolved(name, mapping.fields[name], schema, fields[name]) for name in order),
        case_sensitive_id=bool(fields[mapping.external_id].get("caseSensitive")),
    )


def unknown_object(mapping: Mapping, schema: pa.Schema) -> MappingError:
    """What is wrong with a mapping whose object the org does not describe."""
    missing = f"{mapping.object}: Salesforce has no such object, or the integration user may not see it"
    return _error(mapping, [missing, *(fault for name in mapping.fields for fault in _column(name, mapping, schema))])


def _error(mapping: Mapping, faults: Sequence[str]) -> MappingError:
    listed = "\n".join(f"  - {fault}" for fault in faults)
    return MappingError(f"The mapping for {mapping.object} has {len(faults)} fault(s), nothing was sent:\n{listed}")


def _column(name: str, mapping: Mapping, schema: pa.Schema) -> Iterator[str]:
    column = mapping.fields[name].column
    if column not in schema.names:
        yield f"{name}: the signals have no column {column!r}{_hint(column, schema.names)}"


def _by_name(describe: Describe) -> dict[str, Dict[str, Any]]:
    return {field["name"]: field for field in describe.get("fields", ())}


def _is_restricted(field: Dict[str, Any]) -> bool:
    return field.get("type") in _PICKLISTS and bool(field.get("restrictedPicklist"))


def _object_faults(mapping: Mapping, describe: Describe) -> Iterator[str]:
    for ability in ("createable", "updateable"):
        if not describe.get(ability, True):
            yield f"{mapping.object}: the integration user may not write it (not {ability})"
    fields = _by_name(describe)
    line = mapping.fields.get(mapping.external_id)
    if line is None:
        yield f"external_id {mapping.external_id} is not among [fields]"
    elif line.column != KEY_COLUMN:
        yield f"{mapping.external_id}: the external id is fed by {KEY_COLUMN}, not by {line.column}"
    key = fields.get(mapping.external_id)
    if key is not None:
        if not key.get("externalId"):
            yield f"{mapping.external_id}: is no External ID in Salesforce"
        if not key.get("unique"):
            yield f"{mapping.external_id}: is not unique in Salesforce, so an upsert may hit several records"
    for name, field in fields.items():
        if _is_required(field) and name not in mapping.fields:
            yield f"{name}: is required by Salesforce but not mapped"


def _is_required(field: Dict[str, Any]) -> bool:
    return (
        field.get("nillable") is False
        and bool(field.get("createable"))
        and not field.get("defaultedOnCreate")
        and field.get("type") != "boolean"
    )


def _field_faults(
    mapping: Mapping, schema: pa.Schema, describe: Describe, distinct: Dict[str, Sequence[str]]
) -> Iterator[str]:
    fields = _by_name(describe)
    for name, line in mapping.fields.items():
        yield from _column(name, mapping, schema)
        if name not in fields:
            yield f"{name}: {mapping.object} has no such field{_hint(name, fields)}"
        if line.column in schema.names and name in fields:
            column_type = schema.field(line.column).type
            yield from _type_faults(name, line, column_type, fields[name])
            yield from _picklist_faults(name, fields[name], distinct.get(line.column, ()))


def _hint(name: str, known: Any) -> str:
    lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return f" (did you mean {lower[close[0]]!r}?)" if close else ""


def _type_faults(name: str, line: FieldMap, column_type: pa.DataType, field: Dict[str, Any]) -> Iterator[str]:
    for ability in ("createable", "updateable"):
        if not field.get(ability, True):
            yield f"{name}: is not writable ({ability} is false; a formula, or missing field permission)"
    wanted = line.format or _default_format(column_type)
    if wanted is None:
        yield f"{name}: columns of type {column_type} cannot be sent"
        return
    if not _can_write(wanted, column_type):
        yield f"{name}: column {line.column} of type {column_type} cannot be written as {wanted}"
        return
    if field["type"] not in _ACCEPTS[wanted]:
        yield f"{name}: is of type {field['type']} in Salesforce, which takes no {wanted} (column {line.column})"
        return
    if line.on_null == "clear" and field.get("nillable") is False:
        yield f"{name}: on_null is clear, but Salesforce requires a value"
    if wanted is Format.NUMBER:
        yield from _scale_faults(name, line, column_type, field)


def _scale_faults(name: str, line: FieldMap, column_type: pa.DataType, field: Dict[str, Any]) -> Iterator[str]:
    scale = column_type.scale if pa.types.is_decimal(column_type) else 0
    holds = 0 if field["type"] in {"int", "long"} else field.get("scale")
    if holds is not None and scale > holds:
        yield f"{name}: holds {holds} decimals, column {line.column} has {scale}; Salesforce would round"


def _picklist_faults(name: str, field: Dict[str, Any], found: Sequence[str]) -> Iterator[str]:
    if not _is_restricted(field):
        return
    allowed = {value["value"] for value in field.get("picklistValues", ()) if value.get("active", True)}
    foreign = sorted({part for value in found for part in _choices(field, value)} - allowed)
    if foreign:
        yield f"{name}: the picklist has no value {', '.join(map(repr, foreign[:10]))} (it has {sorted(allowed)})"


def _choices(field: Dict[str, Any], value: str) -> list[str]:
    return value.split(";") if field["type"] == "multipicklist" else [value]


def _default_format(column_type: pa.DataType) -> Format | None:
    kinds: list[tuple[Any, Format]] = [
        (pa.types.is_string, Format.TEXT),
        (pa.types.is_large_string, Format.TEXT),
        (pa.types.is_integer, Format.NUMBER),
        (pa.types.is_decimal, Format.NUMBER),
        (pa.types.is_floating, Format.NUMBER),
        (pa.types.is_date, Format.DATE),
        (pa.types.is_timestamp, Format.DATETIME),
        (pa.types.is_boolean, Format.BOOLEAN),
    ]
    return next((wanted for is_kind, wanted in kinds if is_kind(column_type)), None)


def _can_write(wanted: Format, column_type: pa.DataType) -> bool:
    natural = _default_format(column_type)
    temporal = {Format.DATE, Format.DATETIME}
    return wanted in {natural, Format.TEXT} or {wanted, natural} == temporal


def _resolved(name: str, line: FieldMap, schema: pa.Schema, field: Dict[str, Any]) -> ResolvedField:
    wanted = line.format or _default_format(schema.field(line.column).type)
    assert wanted is not None
    precision = field.get("digits") if field["type"] in {"int", "long"} else field.get("precision")
    return ResolvedField(
        field=name,
        column=line.column,
        format=wanted,
        on_null=line.on_null,
        compare=line.compare,
        max_chars=(field.get("length") or None) if wanted is Format.TEXT else None,
        max_integer_digits=(precision - (field.get("scale") or 0) if wanted is Format.NUMBER and precision else None),
    )

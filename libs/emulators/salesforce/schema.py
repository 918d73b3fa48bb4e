"""The objects of the org and their fields, read from a JSON file, with the fields that every object has."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from libs.emulators.salesforce.ids import IdCodec

FieldType = Literal[
    "id",
    "string",
    "textarea",
    "email",
    "phone",
    "url",
    "picklist",
    "reference",
    "double",
    "currency",
    "percent",
    "int",
    "boolean",
    "date",
    "datetime",
]
TEXT_TYPES = frozenset({"string", "textarea", "email", "phone", "url", "picklist"})
DECIMAL_TYPES = frozenset({"double", "currency", "percent"})
MAX_DIGITS = 18
"""Salesforce's limit for the digits of a number field; also what fits SQLite's 64-bit integers."""


class SchemaError(ValueError):
    """A schema file cannot be used; the text says what is wrong in which object and field."""


class Field(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """One field as a schema file declares it, in the vocabulary of Salesforce's describe."""

    name: str
    type: FieldType
    label: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    nillable: bool = True
    external_id: bool = False
    unique: bool = False
    case_sensitive: bool = False
    createable: bool = True
    updateable: bool = True
    auto_number: bool = False
    defaulted_on_create: bool = False
    restricted_picklist: bool = True
    picklist_values: tuple[str, ...] = ()
    reference_to: tuple[str, ...] = ()

    @property
    def display_label(self) -> str:
        """The label, by default the API name in words."""
        return self.label or self.name.removesuffix("__c").replace("_", " ")

    @property
    def required(self) -> bool:
        """Whether a record cannot be saved without a value from the caller."""
        return not self.nillable and self.createable and not self.defaulted_on_create and self.type != "boolean"

    @property
    def column(self) -> str:
        """The quoted column that holds the value (Id is the sequence; SystemModstamp equals LastModifiedDate)."""
        return {"Id": '"seq"', "SystemModstamp": '"LastModifiedDate"'}.get(self.name, f'"{self.name}"')

    @property
    def stored(self) -> bool:
        """Whether the field has a column of its own."""
        return self.name not in ("Id", "SystemModstamp")


class _ObjectFile(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    name: str
    label: str
    label_plural: str
    key_prefix: str
    fields: tuple[Field, ...]
    name_format: str = ""


def _system_fields(auto_name: bool) -> tuple[Field, ...]:
    read_only = {"createable": False, "updateable": False, "nillable": False, "defaulted_on_create": True}
    when = {"type": "datetime", **read_only}
    user = {"type": "reference", "length": 18, "reference_to": ("User",), **read_only}
    name = (
        {"auto_number": True, "createable": False, "updateable": False, "nillable": False, "defaulted_on_create": True}
        if auto_name
        else {"nillable": False}
    )
    declared = (
        {"name": "Id", "label": "Record ID", "type": "id", "length": 18, **read_only},
        {"name": "OwnerId", "label": "Owner ID", **user, "createable": True, "updateable": True},
        {"name": "IsDeleted", "label": "Deleted", "type": "boolean", **read_only},
        {"name": "Name", "label": "Name", "type": "string", "length": 80, **name},
        {"name": "CreatedDate", "label": "Created Date", **when},
        {"name": "CreatedById", "label": "Created By ID", **user},
        {"name": "LastModifiedDate", "label": "Last Modified Date", **when},
        {"name": "LastModifiedById", "label": "Last Modified By ID", **user},
        {"name": "SystemModstamp", "label": "System Modstamp", **when},
    )
    return tuple(Field(**one) for one in declared)  # type: ignore[arg-type] # literals above, checked by a unit test


class SObject:
    """One object: its fields by name in any case, the codec of its ids and the name of its table."""

    def __init__(self, declared: _ObjectFile) -> None:
        self.name = declared.name
        self.label = declared.label
        self.label_plural = declared.label_plural
        self.name_format = declared.name_format
        self.ids = IdCodec(declared.key_prefix)
        self.fields = (*_system_fields(bool(declared.name_format)), *declared.fields)
        self.table = f'"record_{declared.name}"'
        self._by_name = {field.name.lower(): field for field in self.fields}
        self._check()

    def field(self, name: str) -> Field | None:
        """Find a field by its API name; Salesforce ignores case."""
        return self._by_name.get(name.lower())

    def _check(self) -> None:
        if len(self._by_name) != len(self.fields):
            raise SchemaError(f"{self.name}: two fields have the same name, or one has a system field's name")
        if len(self.ids.key_prefix) != 3:
            raise SchemaError(f"{self.name}: keyPrefix must have 3 characters, not {self.ids.key_prefix!r}")
        for field in self.fields:
            where = f"{self.name}.{field.name}"
            if not field.name.replace("_", "").isalnum():
                raise SchemaError(f"{where}: a field name has letters, digits and underscores only")
            if field.type in TEXT_TYPES and field.length <= 0:
                raise SchemaError(f"{where}: a {field.type} field needs a length")
            if field.type in DECIMAL_TYPES and not 0 <= field.scale <= field.precision <= MAX_DIGITS:
                raise SchemaError(f"{where}: needs 0 <= scale <= precision <= {MAX_DIGITS}")
            if field.type == "picklist" and not field.picklist_values:
                raise SchemaError(f"{where}: a picklist field needs picklistValues")


class Schema:
    """All objects of the org, by name in any case."""

    def __init__(self, objects: tuple[SObject, ...]) -> None:
        self.objects = objects
        self._by_name = {one.name.lower(): one for one in objects}

    def find(self, name: str) -> SObject | None:
        """Find an object by its API name; Salesforce ignores case."""
        return self._by_name.get(name.lower())

    def by_prefix(self, record_id: str) -> SObject | None:
        """Find the object that a record id belongs to."""
        return next((one for one in self.objects if record_id.startswith(one.ids.key_prefix)), None)


def load_schema(path: Path | None = None) -> Schema:
    """Read the objects from ``path``, or the shipped Customer_Weekly_Metric__c.

    Raises SchemaError with the file, the place and the fault.
    """
    shipped = resources.files(__package__) / "schema.json"
    try:
        content = path.read_bytes() if path is not None else shipped.read_bytes()
        declared = msgspec.json.decode(content, type=tuple[_ObjectFile, ...])
        return Schema(tuple(SObject(one) for one in declared))
    except (OSError, msgspec.DecodeError, SchemaError) as error:
        raise SchemaError(f"schema {path or 'schema.json'}: {error}") from error

"""The mapping file: column of the signals → field of the Salesforce object. Pure but for reading the file's text."""

import hashlib
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from services.sf_sync.errors import MappingError

DEFAULT_MAPPING: Final = Path(__file__).with_name("mapping.toml")

KEY_COLUMN: Final = "external_signal_id"
"""Must feed the external id: the snapshot is kept by week, so a key that two weeks share could not be compared."""
CUSTOMER_COLUMN: Final = "external_customer_id"


class Format(StrEnum):
    """How a value is written for Salesforce."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    DATETIME = "datetime"
    BOOLEAN = "boolean"


class NullPolicy(StrEnum):
    """What an absent value does to the field."""

    KEEP = "keep"
    CLEAR = "clear"


class FieldMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the file's `[fields]`."""

    column: str
    on_null: NullPolicy = NullPolicy.KEEP
    compare: bool = True
    format: Format | None = None


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: field name → its line, in the file's order."""

    object: str
    external_id: str
    fields: dict[str, FieldMap]


class ResolvedField(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the mapping that has been held against the signals' schema and the org's description."""

    field: str
    column: str
    format: Format
    on_null: NullPolicy
    compare: bool
    max_chars: int | None = None
    """For text: what the field holds. None: no limit known."""
    max_integer_digits: int | None = None
    """For numbers: digits before the point that the field holds."""


class ResolvedMapping(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping that fits; the external id's field is the first of `fields`."""

    object: str
    external_id: str
    fields: tuple[ResolvedField, ...]
    case_sensitive_id: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Field names in the order in which they are sent."""
        return tuple(field.field for field in self.fields)

    def fingerprint(self, org: str) -> str:
        """Names what a snapshot row says: values of another org, object, field list or format compare with nothing."""
        parts = [(f.field, f.column, f.format, f.on_null, f.compare) for f in self.fields]
        return hashlib.sha256(msgspec.json.encode([org, self.object, parts])).hexdigest()[:16]


def load_mapping(path: Path | None = None) -> Mapping:
    """Read the mapping file; None is the one shipped with the service.

    Raises MappingError that names the file and the place at fault.
    """
    path = path or DEFAULT_MAPPING
    try:
        return parse_mapping(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MappingError(f"The mapping file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise MappingError(f"The mapping file {path} is not valid: {error}.") from error


def parse_mapping(text: str) -> Mapping:
    """The mapping in TOML `text`. Raises tomllib.TOMLDecodeError or msgspec.ValidationError."""
    return msgspec.convert(tomllib.loads(text), Mapping)

"""Fields that the contract does not know, added to good records as a source that evolves would add them."""

from __future__ import annotations

from typing import Final

# (name, JSON text): every JSON type once.
EXTRA_FIELDS: Final = (
    ("utm_source", '"newsletter"'),
    ("is_mobile", "true"),
    ("position", "3"),
    ("experiment", '{"name":"checkout","arm":"b"}'),
    ("labels", '["sale","new"]'),
    ("loyalty_points", "null"),
    ("discount", "0.15"),
)


def extra_field(ordinal: int) -> tuple[str, str]:
    """Return (name, JSON text) of the field that the n-th drifted record carries."""
    return EXTRA_FIELDS[ordinal % len(EXTRA_FIELDS)]


def add_field(record: str, ordinal: int) -> str:
    """Return the JSON text of an object with one unknown field more."""
    name, text = extra_field(ordinal)
    return f'{record[:-1]},"{name}":{text}}}'

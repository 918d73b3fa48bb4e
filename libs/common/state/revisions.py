"""The revisions of the state tables that this release knows, by the names of their files; a test asks Alembic."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_VERSIONS = Path(__file__).parent / "migrations" / "versions"


@cache
def revisions() -> tuple[str, ...]:
    """All, the oldest first. They are numbered, so that the text's order is their order."""
    return tuple(sorted(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py")))


def head_revision() -> str:
    """The one that this release needs."""
    return revisions()[-1]

"""The part of Kubernetes' and KEDA's schemas that our manifests use, strictly: an unknown field is an error.

The official schemas come in a package of 108 MB, and know nothing of KEDA. These models are smaller than the least of
their errors would be expensive, and stricter: a field that we do not use yet has to be written down here first.
"""

from __future__ import annotations

from typing import Any

from tests.unit.deploy.schema import keda, kinds
from tests.unit.deploy.schema.parts import Strict

KINDS: dict[str, type[Strict]] = {
    name: kind
    for module in (kinds, keda)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Strict) and "kind" in kind.model_fields
}


def check(document: dict[str, Any]) -> None:
    """Raise ValidationError, with every fault of the document; KeyError for a kind that has no business here."""
    KINDS[document["kind"]].model_validate(document)

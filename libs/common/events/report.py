"""What validation found in the records of a part, or of several: made by the validator, summed for the manifest."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Self

UNKNOWN_NAMES_MAX: Final = 64
"""Distinct unknown fields counted in a part, in the order of their appearance; further ones are passed over."""


@dataclass(slots=True)
class Report:
    """What became of records. `details` is what the state tables keep besides the two sums."""

    valid: int = 0
    rejected: int = 0
    """Records; a page that is refused as a whole counts as one."""
    reject_counts: Counter[str] = field(default_factory=Counter)
    unknown_fields: dict[str, Counter[str]] = field(default_factory=dict)
    """Field outside the contract → JSON type → records."""

    @property
    def details(self) -> dict[str, Any]:
        """Plain data, in an order of its own, so that equal reports read equal."""
        return {
            "reject_counts": dict(sorted(self.reject_counts.items())),
            "unknown_fields": {
                name: dict(sorted(kinds.items())) for name, kinds in sorted(self.unknown_fields.items())
            },
        }

    @classmethod
    def sum(cls, parts: Iterable[tuple[int, int, dict[str, Any]]]) -> Self:
        """Of (valid, rejected, details) of each part; of the unknown fields the most frequent."""
        total = cls()
        for valid, rejected, details in parts:
            total.valid += valid
            total.rejected += rejected
            total.reject_counts.update(details["reject_counts"])
            for name, kinds in details["unknown_fields"].items():
                total.unknown_fields.setdefault(name, Counter()).update(kinds)
        most = sorted(total.unknown_fields.items(), key=lambda item: (-item[1].total(), item[0]))
        total.unknown_fields = dict(most[:UNKNOWN_NAMES_MAX])
        return total

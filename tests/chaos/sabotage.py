"""Where a service is made to fail in which case."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """A failpoint of one service: armed for the case that it names, and a file that tells when it was reached."""

    case: str
    service: str
    point: str
    action: str
    conditions: str = ""

    def __str__(self) -> str:
        more = f",{self.conditions}" if self.conditions else ""
        return f"{self.case} {self.service} {self.point}{more} {self.action}"

    @property
    def file_name(self) -> str:
        return "-".join(re.findall(r"\w+", str(self)))

    def failpoint(self, reached: Path, released: Path) -> str:
        """Its part of FAILPOINT: the file that it makes, and the file that ends a `hang`."""
        conditions = f"service={self.service},correlation_id={self.case}"
        more = f",{self.conditions}" if self.conditions else ""
        return f"{self.point}@{conditions}{more}:{self.action};once={reached};until={released}"

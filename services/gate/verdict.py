"""What the audit came to, as a file in the lake: a redelivery goes on from it instead of auditing what has moved."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.common.lake import Lake, LakeFileNotFoundError, paths
from libs.common.manifest import LoadManifest, StagedFile
from libs.common.state import Failure, RunStatus
from services.gate.rules import Check


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Checks, decision, and the staged signals (None where the week failed)."""

    run_id: str
    status: RunStatus
    failure: Failure | None
    checks: tuple[Check, ...]
    rows_valid: int
    rows_rejected: int
    reject_rate_pct: Decimal
    profile: dict[str, Any]
    signals: StagedFile | None

    def details(self, manifest: LoadManifest, files: dict[str, list[str]]) -> dict[str, Any]:
        """What the stage row tells: the figures of every check, and where the files are."""
        return {
            "decision": self.status.value,
            "checks": [msgspec.to_builtins(check) for check in self.checks],
            "files": files,
            "reject_counts": manifest.reject_counts,
            "unknown_fields": manifest.unknown_fields,
            "profile": self.profile,
        }


def verdict_path(run_id: str) -> str:
    """Where a run's verdict lies; it outlives the run's scratch."""
    return f"{paths.run_dir(run_id)}/checks/verdict.json"


def encode_verdict(verdict: Verdict) -> bytes:
    """JSON for people as well, the same bytes for the same content."""
    return msgspec.json.format(_encoder.encode(verdict), indent=2) + b"\n"


async def read_passed_verdict(lake: Lake, run_id: str) -> Verdict | None:
    """The verdict of an earlier delivery, if it was a pass; a failed one is judged anew, the rules may have changed."""
    try:
        verdict = msgspec.json.decode(await lake.get_bytes(verdict_path(run_id)), type=Verdict)
    except LakeFileNotFoundError:
        return None
    return verdict if verdict.status.is_success else None


_encoder: Final = msgspec.json.Encoder(order="deterministic")

"""From checks to the run's end. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from libs.common.state import Failure, RunStatus
from services.gate.rules import Check

_RATE_STEP = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Decision:
    """SUCCESS, SUCCESS_WITH_REJECTS, or FAILED with the reason."""

    status: RunStatus
    failure: Failure | None = None


def decide(checks: Sequence[Check], rows_rejected: int) -> Decision:
    """No rejects → SUCCESS; rejects that no rule objects to → SUCCESS_WITH_REJECTS; any failed error rule → FAILED."""
    failed = [check for check in checks if check.fails_the_run]
    if failed:
        return Decision(
            RunStatus.FAILED,
            Failure(
                code="quality_gate_failed",
                message=f"{len(failed)} of {len(checks)} checks failed. " + " ".join(_line(check) for check in failed),
                next_step=(
                    "Nothing was published. Look at the rejects and failing rows in the lake under the run's folder; "
                    "when the source or the rule is put right, request the week again."
                ),
            ),
        )
    return Decision(RunStatus.SUCCESS_WITH_REJECTS if rows_rejected else RunStatus.SUCCESS)


def reject_rate_pct(rows_valid: int, rows_rejected: int) -> Decimal:
    """Rejected records in per cent of all, four decimals; 0 for an empty week."""
    total = rows_valid + rows_rejected
    rate = Decimal(100 * rows_rejected) / total if total else Decimal(0)
    return rate.quantize(_RATE_STEP, ROUND_HALF_UP)


def _line(check: Check) -> str:
    sample = f" Sample: {check.sample}." if check.sample else ""
    return f"[{check.name}] {check.message}{sample}"

"""The gate's settings."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from libs.common.settings import ServiceSettings

_DEFAULT_TIERS = "platinum=1000,gold=500,silver=100,bronze=0"


def _tiers(value: Any) -> Any:
    """`platinum=1000,gold=500` → pairs, the highest threshold first."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    return tuple(
        sorted(((name.strip(), Decimal(least.strip())) for name, _, least in pairs), key=lambda tier: -tier[1])
    )


Tiers = Annotated[tuple[tuple[str, Decimal], ...], NoDecode, BeforeValidator(_tiers)]


class GateSettings(ServiceSettings):
    """What a week must satisfy, and what its audit may cost."""

    min_records: int = Field(1, ge=0, description="Fewest valid events that a week may have.")
    min_success_rate_pct: float = Field(
        95.0, ge=0, le=100, description="Least share of fetched records that are valid."
    )
    reject_threshold_pct: float = Field(5.0, ge=0, le=100, description="Largest share of fetched records rejected.")
    gate_rules_file: Path = Field(
        Path(__file__).with_name("rules.toml"), description="The rules; the shipped file is a good start for one's own."
    )
    gate_history_weeks: int = Field(8, ge=1, le=104, description="Passed weeks that a week is compared with.")
    gate_sample_rows: int = Field(
        100, ge=0, le=10_000, description="Failing rows stored for each failed rule, at most."
    )
    gate_memory_limit: str = Field(
        "128MB",
        pattern=r"^[1-9]\d*(\.\d+)? ?[KMGT]i?B$",
        description="What DuckDB may hold in memory; beyond it spills to scratch.",
    )
    gate_threads: int = Field(2, ge=1, le=64, description="Threads of DuckDB.")
    gate_budget_sec: float = Field(300.0, gt=0, description="Seconds after which the gate is TIMED_OUT.")
    gate_keep_scratch: bool = Field(False, description="Keep the run's raw, validated and reject parts after success.")
    customer_tiers: Tiers = Field(
        _tiers(_DEFAULT_TIERS),
        description="Tier=least spend of the week, exclusive where it is 0; below all of them is a prospect.",
    )

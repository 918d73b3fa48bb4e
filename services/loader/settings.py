"""The loader's settings."""

from __future__ import annotations

from pydantic import Field

from libs.common.settings import ServiceSettings


class LoaderSettings(ServiceSettings):
    """How parts become files."""

    load_group_parts: int = Field(
        3, ge=1, le=100, description="Consecutive parts merged into one curated file, which is sorted in memory."
    )
    load_row_group_rows: int = Field(100_000, ge=1000, description="Rows in a row group of a curated file.")
    load_budget_sec: float = Field(1800.0, gt=0, description="Seconds after which loading a part is TIMED_OUT.")

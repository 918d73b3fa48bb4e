"""The validator's settings."""

import os
from typing import Final

from pydantic import Field

from libs.common.settings import ServiceSettings

_MOST_WORKERS: Final = 8


class ValidatorSettings(ServiceSettings):
    """How much of the machine the validator takes."""

    validate_workers: int = Field(
        0,
        ge=0,
        le=64,
        description="Parts validated at once, each in a process of its own; 0 is one per processor, at most 8.",
    )
    validate_budget_sec: float = Field(30 * 60, gt=0, description="Seconds after which validating a part is TIMED_OUT.")

    @property
    def workers(self) -> int:
        """VALIDATE_WORKERS with 0 resolved for this machine."""
        return self.validate_workers or min(len(os.sched_getaffinity(0)), _MOST_WORKERS)

"""Where the validator's CPU work is done: in processes of its own."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from libs.common.events.report import Report
from libs.common.processes import Processes
from libs.common.week import Week


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFiles:
    """Local files of one part: `raw` is read, the others are written."""

    raw: Path
    valid: Path
    rejects: Path


class PartValidator:
    """Validates one part per process at a time."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    async def __call__(self, files: PartFiles, week: Week, ingested_at: datetime) -> Report:
        """Write both result files; what became of the records. Raises OSError, WorkerDiedError."""
        return await self._processes.run(_validate, files, week, ingested_at)


def prepare() -> None:
    """Import what a worker process needs before its first part is there."""
    import services.validator.files  # noqa: F401  # for its import alone


def _validate(files: PartFiles, week: Week, ingested_at: datetime) -> Report:
    # Here and not above, so that only the processes that use Arrow hold it in memory.
    from services.validator.files import validate_files

    return validate_files(files.raw, files.valid, files.rejects, week, ingested_at)

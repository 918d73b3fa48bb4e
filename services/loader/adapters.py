"""Where the loader's CPU work is done: in a process of its own."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from libs.common.processes import Processes


class Facts(NamedTuple):
    """What a Parquet file says of itself; times are None where it has no events."""

    rows: int
    min_event_time: datetime | None
    max_event_time: datetime | None


class Merger(Protocol):
    """Local files into one; raises OSError, WorkerDiedError."""

    async def merge_events(self, sources: Sequence[Path], target: Path) -> None:
        """Write all events, sorted by user and time."""

    async def merge_rejects(self, sources: Sequence[Path], target: Path) -> None:
        """Write all rejects, in the order of the source."""

    async def read_facts(self, path: Path) -> Facts:
        """What the file says of itself."""

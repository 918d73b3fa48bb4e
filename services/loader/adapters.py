"""Where the loader's CPU work is done: in a process of its own, one group at a time."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from libs.common.processes import Processes


class Merger:
    """Makes one local file of many. Its methods raise OSError and WorkerDiedError."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    async def merge_events(self, sources: Sequence[Path], target: Path) -> None:
        """Write the events of all sources, sorted by user and time; without sources a file without rows."""
        await self._processes.run(_merge_events, sources, target)

    async def merge_rejects(self, sources: Sequence[Path], target: Path) -> None:
        """Write the rejects of all sources, in their order."""
        await self._processes.run(_merge_rejects, sources, target)

    async def read_facts(self, path: Path) -> tuple[int, datetime | None, datetime | None]:
        """Rows, first and last event time (None without events), as the file itself has them."""
        return await self._processes.run(_read_facts, path)


# Arrow is imported here and not above, so that only the process that uses it holds it in memory.


def prepare() -> None:
    """Import what the worker process needs before its first group is there."""
    import services.loader.merge  # noqa: F401  # for its import alone


def _merge_events(sources: Sequence[Path], target: Path) -> None:
    from services.loader.merge import merge_events

    merge_events(sources, target)


def _merge_rejects(sources: Sequence[Path], target: Path) -> None:
    from services.loader.merge import merge_rejects

    merge_rejects(sources, target)


def _read_facts(path: Path) -> tuple[int, datetime | None, datetime | None]:
    from services.loader.merge import read_facts

    return read_facts(path)

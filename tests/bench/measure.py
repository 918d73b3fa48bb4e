"""What the benches share: memory and CPU of processes, the machine, tables.

MB is a million bytes, the stricter reading of an aim in MB.
"""

from __future__ import annotations

import os
import platform
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

MB: Final = 1_000_000
SAMPLE_SEC: Final = 1.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process has used: the most memory at once since it began, and processor time."""

    peak_mb: float
    cpu_sec: float


def peak_mb(pid: int | None = None) -> float:
    """The most physical memory that a process (this one without `pid`) has held, in MB.

    The kernel's own high-water mark on Linux; elsewhere what is held now. Raises psutil.NoSuchProcess.
    """
    process = psutil.Process(pid)
    with suppress(OSError, ValueError):
        status = Path(f"/proc/{process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / MB
    return float(process.memory_info().rss / MB)


class PeakMemory:
    """Watches processes and all their descendants while the context is open.

    `roots` answers with {process id: name} whenever it is asked, so that processes may come and go. A descendant is
    named after its root, with a number: `validator/1`. A process that ends between two looks is known up to the last.
    """

    def __init__(self, roots: Callable[[], dict[int, str]]) -> None:
        self._roots = roots
        self._names: dict[tuple[int, float], str] = {}
        self._numbers: Counter[str] = Counter()
        self._seen: dict[str, Usage] = {}
        self._cpu_before: dict[tuple[int, float], float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak memory", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._cpu_before = {key: self._seen[name].cpu_sec for key, name in self._names.items()}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    @property
    def usage(self) -> dict[str, Usage]:
        """The peak of every process, and its processor time while the context was open, by name."""
        return dict(sorted(self._seen.items()))

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SEC):
            self._look()

    def _look(self) -> None:
        for pid, name in self._roots().items():
            with suppress(psutil.NoSuchProcess):
                root = psutil.Process(pid)
                self._note(root, name)
                for child in root.children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        if not _is_helper(child):
                            self._note(child, f"{name}/")

    def _note(self, process: psutil.Process, name: str) -> None:
        key = (process.pid, process.create_time())
        if key not in self._names:
            self._numbers[name] += 1
            number = self._numbers[name]
            self._names[key] = f"{name}{number}" if name.endswith("/") or number > 1 else name
        times = process.cpu_times()
        cpu_sec = times.user + times.system - self._cpu_before.get(key, 0.0)
        self._seen[self._names[key]] = Usage(peak_mb(process.pid), cpu_sec)


def _is_helper(process: psutil.Process) -> bool:
    """Whether it is multiprocessing's bookkeeping, which holds no data."""
    return "multiprocessing.resource_tracker" in " ".join(process.cmdline())


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """What the figures were made on, the versions of `packages`, and how busy it was with other work at the moment."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_average_1_min": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns for people: the first to the left, the others to the right; thousands are parted, None is a dash."""
    texts = [list(heads), *([_shown(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in texts
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)

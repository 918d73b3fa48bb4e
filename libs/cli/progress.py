"""Live progress per stage on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from libs.cli.watch import Snapshot
from libs.common.state import Stage, StageRow, StageStatus

TITLES = {
    Stage.EXTRACT: "extract",
    Stage.VALIDATE: "validate",
    Stage.LOAD: "load",
    Stage.QUALITY_GATE: "quality gate",
    Stage.SALESFORCE_SYNC: "salesforce sync",
}


class ProgressView(Protocol):
    """Shows snapshots of a run while the context is open."""

    def show(self, snapshot: Snapshot) -> None:
        """Bring the display up to date."""

    def say(self, text: str) -> None:
        """Print a line beside the display."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


def progress_view(console: Console) -> ProgressView:
    """Bars where `console` is a terminal, lines otherwise."""
    return _Bars(console) if console.is_terminal else _Lines(console)


class _Bars:
    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[Stage, TaskID] = {
            stage: self._progress.add_task(title, total=None, note="", start=False) for stage, title in TITLES.items()
        }

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        self._progress.console.print(text)

    def show(self, snapshot: Snapshot) -> None:
        for stage, row in snapshot.stages.items():
            task = self._tasks[stage]
            if not self._progress.tasks[task].started:
                self._progress.start_task(task)
            done, total = _fraction(snapshot, row)
            self._progress.update(task, completed=done, total=total, note=_note(snapshot, row))
            if row.status is not StageStatus.RUNNING:
                self._progress.stop_task(task)


class _Lines:
    """A line whenever a stage starts, ends, or has done a further tenth of its parts."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[Stage, tuple[StageStatus, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def show(self, snapshot: Snapshot) -> None:
        for stage, row in snapshot.stages.items():
            done, total = _fraction(snapshot, row)
            state = (row.status, 10 * done // total if total else 0)
            if self._shown.get(stage) != state:
                self._shown[stage] = state
                self.say(f"{TITLES[stage]}: {_note(snapshot, row)}")


def _fraction(snapshot: Snapshot, row: StageRow) -> tuple[int, int | None]:
    if row.status is StageStatus.SUCCESS:
        return 1, 1
    parts = snapshot.parts.get(row.stage)
    return (parts.parts if parts else 0), snapshot.parts_total


def _note(snapshot: Snapshot, row: StageRow) -> str:
    parts = snapshot.parts.get(row.stage)
    if row.status is not StageStatus.RUNNING:
        rows = "" if row.row_count is None else f", {row.row_count:,} rows"
        return f"{row.status.value.lower()}{rows}"
    if parts is None:
        return "running"
    of = f" of {snapshot.parts_total}" if snapshot.parts_total else ""
    return f"{parts.parts}{of} parts, {parts.row_count:,} rows"

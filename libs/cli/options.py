"""Options that several commands share, declared once."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

WeekStart = Annotated[
    datetime | None, typer.Option("--week-start", formats=["%Y-%m-%d"], help="First day of the week, a Monday.")
]
WeekEnd = Annotated[
    datetime | None,
    typer.Option("--week-end", formats=["%Y-%m-%d"], help="Last day, inclusive. [default: six days after the first]"),
]
Force = Annotated[bool, typer.Option("--force", help="Run the week although it succeeded before; supersedes it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Go as far as the quality gate, report, publish nothing.")]
AdvanceOnSkip = Annotated[
    bool, typer.Option("--advance-on-skip", help="If the week is skipped because it is done, move the checkpoint on.")
]
FullSync = Annotated[bool, typer.Option("--full", help="Send every row to Salesforce, not only what changed.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder for lake, state, bus and logs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def day(value: datetime | None) -> date | None:
    """The day of an option that typer parsed as a moment."""
    return None if value is None else value.date()

"""`retl cancel` and `retl migrate`."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from libs.cli.reading import reading_state
from libs.common.clock import SystemClock
from libs.common.settings import CommonSettings, load_settings
from libs.common.state import Failure, RunStatus
from libs.common.state import migrate as migrate_state


def cancel(run_id: Annotated[str, typer.Argument(help="The run, as `retl runs` shows it.")]) -> None:
    """End an active run; its messages are then settled and dropped."""
    if not asyncio.run(_cancel(load_settings(CommonSettings), run_id)):
        sys.stderr.write(f"run {run_id} is not active; see `retl runs`\n")
        raise typer.Exit(1)
    sys.stdout.write(f"run {run_id} is cancelled\n")


def migrate() -> None:
    """Create or upgrade the state tables at STATE_URL; safe to repeat."""
    before, after = migrate_state(load_settings(CommonSettings).state_url)
    sys.stdout.write(f"state tables: {before or 'none'} → {after}\n" if before != after else f"already at {after}\n")


async def _cancel(settings: CommonSettings, run_id: str) -> bool:
    failure = Failure("cancelled", "An operator cancelled the run.", "Publish the week again when it is wanted.")
    async with reading_state(settings) as state:
        return await state.end_run(run_id, RunStatus.CANCELLED, SystemClock().now(), failure)

"""`retl doctor`: is everything that is configured reachable, and may we use it?"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

import typer

from libs.cli.bus import open_bus
from libs.cli.consumers import CONSUMERS
from libs.cli.letters import letters_of
from libs.cli.reading import reading_state
from libs.cli.stack import user_environment
from libs.common.errors import RetlError, describe
from libs.common.lake import open_lake
from libs.common.settings import CommonSettings, load_settings

MANY_LETTERS = 100
"""Dead letters of a service are counted up to here."""


def doctor() -> None:
    """Check every dependency that is configured and say what is wrong with it."""
    faults = asyncio.run(_examine(load_settings(CommonSettings)))
    if user_environment().get("API_BASE_URL"):
        sys.stdout.flush()
        faults += subprocess.run([sys.executable, "-m", "services.extractor", "check-api"], check=False).returncode != 0
    raise typer.Exit(1 if faults else 0)


async def _examine(settings: CommonSettings) -> int:
    """Print a line for each dependency; the number of faults."""
    examinations: dict[str, Callable[[CommonSettings], Awaitable[str]]] = {
        "state tables": _state,
        "lake": _lake,
        "bus": _bus,
    }
    faults = 0
    for name, examine in examinations.items():
        try:
            sys.stdout.write(f"ok     {name}: {await examine(settings)}\n")
        except RetlError as error:
            faults += 1
            sys.stdout.write(f"FAULT  {name}: {describe(error)}\n       next: {error.next_step}\n")
    return faults


async def _state(settings: CommonSettings) -> str:
    async with reading_state(settings) as state:
        await state.ping()
        active = await state.active_runs(settings.pipeline_name)
        return f"reachable, {len(active)} active run(s)"


async def _lake(settings: CommonSettings) -> str:
    lake = open_lake(settings.lake_url, connection_string=settings.datalake_connection_string)
    try:
        await lake.exists("state/checkpoint.json")
        return f"reachable at {lake.url}"
    finally:
        await lake.aclose()


async def _bus(settings: CommonSettings) -> str:
    async with open_bus(settings) as bus:
        found = await letters_of(bus, CONSUMERS, limit=MANY_LETTERS)
    counts = [f"{service} has {len(letters)} dead letter(s)" for service, letters in found.items() if letters]
    return "reachable, " + ("; ".join(counts) or "no dead letters")

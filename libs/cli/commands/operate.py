"""`retl cancel`, `migrate`, `doctor` and `dlq`: looking after the pipeline."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from libs.common.bus.servicebus import connect
from libs.common.clock import SystemClock
from libs.common.errors import RetlError, SettingsError, describe
from libs.common.lake import open_lake
from libs.common.messages import DataLoaded, EventsExtracted, EventsValidated, GatePassed, WeekRequested
from libs.common.settings import CommonSettings, load_settings
from libs.common.state import Failure, RunStatus, open_state
from libs.common.state import migrate as migrate_state

CONSUMERS = {
    "extractor": WeekRequested.topic,
    "validator": EventsExtracted.topic,
    "loader": EventsValidated.topic,
    "gate": DataLoaded.topic,
    "sf_sync": GatePassed.topic,
}
"""Subscription → topic, as in deploy/servicebus/topology.json."""

dlq = typer.Typer(help="Look at dead letters; replay or discard them.", no_args_is_help=True)

Service = Annotated[str, typer.Argument(help=f"Whose dead letters: {', '.join(CONSUMERS)}.")]
Which = Annotated[str, typer.Argument(help="Sequence number or message id, as `retl dlq list` shows them.")]


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


def doctor() -> None:
    """Check every dependency that is configured and say what is wrong with it."""
    settings = load_settings(CommonSettings)
    faults = asyncio.run(_examine(settings))
    raise typer.Exit(1 if faults else 0)


@dlq.command("list")
def dlq_list(service: Service) -> None:
    """List a service's dead letters, oldest first."""
    asyncio.run(_list(load_settings(CommonSettings), _known(service)))


@dlq.command("show")
def dlq_show(service: Service, which: Which) -> None:
    """Show one dead letter whole."""
    asyncio.run(_show(load_settings(CommonSettings), _known(service), which))


@dlq.command("replay")
def dlq_replay(service: Service, which: Which) -> None:
    """Reopen the run if it failed, and send the message to this service again."""
    asyncio.run(_replay(load_settings(CommonSettings), _known(service), _reference(which)))


@dlq.command("discard")
def dlq_discard(service: Service, which: Which) -> None:
    """Take a dead letter away for good."""
    asyncio.run(_discard(load_settings(CommonSettings), _known(service), _reference(which)))


def _known(service: str) -> str:
    if service not in CONSUMERS:
        raise typer.BadParameter(f"{service!r} is none of {', '.join(CONSUMERS)}")
    return service


def _reference(which: str) -> int | str:
    return int(which) if which.isdigit() else which


async def _cancel(settings: CommonSettings, run_id: str) -> bool:
    state = open_state(settings.state_url)
    failure = Failure("cancelled", "An operator cancelled the run.", "Publish the week again when it is wanted.")
    try:
        return await state.end_run(run_id, RunStatus.CANCELLED, SystemClock().now(), failure)
    finally:
        await state.aclose()


async def _list(settings: CommonSettings, service: str) -> None:
    bus = connect(settings)
    table = Table("sequence", "message id", "reason", "description", box=None, pad_edge=False)
    try:
        async for letter in bus.dead_letters(CONSUMERS[service], service).list():
            table.add_row(str(letter.sequence), letter.message_id, letter.reason, letter.description)
    finally:
        await bus.aclose()
    Console().print(table if table.row_count else f"{service} has no dead letters")


async def _show(settings: CommonSettings, service: str, which: str) -> None:
    bus = connect(settings)
    try:
        async for letter in bus.dead_letters(CONSUMERS[service], service).list():
            if which in (str(letter.sequence), letter.message_id):
                sys.stdout.write(f"{letter.reason}: {letter.description}\nid {letter.message_id}\n")
                sys.stdout.writelines(f"{name} = {value}\n" for name, value in letter.properties.items())
                sys.stdout.write(letter.body.decode(errors="replace") + "\n")
                return
    finally:
        await bus.aclose()
    sys.stderr.write(f"{service} has no dead letter {which}\n")
    raise typer.Exit(1)


async def _replay(settings: CommonSettings, service: str, which: int | str) -> None:
    bus, state = connect(settings), open_state(settings.state_url)
    try:
        letters = bus.dead_letters(CONSUMERS[service], service)
        async for letter in letters.list():
            if which in (letter.sequence, letter.message_id) and letter.run_id:
                await state.reopen_run(letter.run_id, SystemClock().now())
        sent = await letters.replay(which)
        sys.stdout.write(f"sent again to {service} as {sent.message_id}\n")
    finally:
        await state.aclose()
        await bus.aclose()


async def _discard(settings: CommonSettings, service: str, which: int | str) -> None:
    bus = connect(settings)
    try:
        gone = await bus.dead_letters(CONSUMERS[service], service).discard(which)
        sys.stdout.write(f"discarded {gone.message_id} ({gone.reason})\n")
    finally:
        await bus.aclose()


async def _examine(settings: CommonSettings) -> int:
    """Print a line for each dependency; the number of faults."""
    examinations: dict[str, Callable[[CommonSettings], Awaitable[str]]] = {
        "state tables": _examine_state,
        "lake": _examine_lake,
        "bus": _examine_bus,
    }
    faults = 0
    for name, examine in examinations.items():
        try:
            sys.stdout.write(f"ok     {name}: {await examine(settings)}\n")
        except (RetlError, SettingsError) as error:
            faults += 1
            sys.stdout.write(f"FAULT  {name}: {describe(error)}\n       next: {error.next_step}\n")
    return faults


async def _examine_state(settings: CommonSettings) -> str:
    state = open_state(settings.state_url)
    try:
        await state.ping()
        active = await state.active_runs(settings.pipeline_name)
        return f"reachable, {len(active)} active run(s)"
    finally:
        await state.aclose()


async def _examine_lake(settings: CommonSettings) -> str:
    lake = open_lake(settings.lake_url, connection_string=settings.datalake_connection_string)
    try:
        await lake.exists("state/checkpoint.json")
        return f"reachable at {lake.url}"
    finally:
        await lake.aclose()


async def _examine_bus(settings: CommonSettings) -> str:
    bus = connect(settings)
    try:
        counts = []
        for service, topic in CONSUMERS.items():
            count = 0
            async for _ in bus.dead_letters(topic, service).list(limit=100):
                count += 1
            if count:
                counts.append(f"{service} has {count} dead letter(s)")
        return "reachable, " + ("; ".join(counts) or "no dead letters")
    finally:
        await bus.aclose()

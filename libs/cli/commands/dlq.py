"""`retl dlq`: dead letters."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from libs.cli import options
from libs.cli.bus import open_bus
from libs.cli.consoles import output
from libs.cli.consumers import CONSUMERS
from libs.cli.letters import letters_of
from libs.cli.reading import reading_state
from libs.common.clock import SystemClock
from libs.common.settings import CommonSettings, load_settings

if TYPE_CHECKING:
    from libs.common.bus.deadletters import DeadLetteredMessage, DeadLetters
    from libs.common.bus.servicebus import Bus

dlq = typer.Typer(help="Look at dead letters; replay or discard them.", no_args_is_help=True)

_NAMES = ", ".join(CONSUMERS)
Service = Annotated[str, typer.Argument(help=f"Whose dead letters: {_NAMES}.")]
AnyService = Annotated[str | None, typer.Argument(help=f"Whose dead letters: {_NAMES}. [default: all]")]
Which = Annotated[str, typer.Argument(help="Sequence number or message id, as `retl dlq list` shows them.")]


@dlq.command("list")
def dlq_list(service: AnyService = None, as_json: options.AsJson = False) -> None:
    """List dead letters, oldest first."""
    services = list(CONSUMERS) if service is None else [_known(service)]
    letters = asyncio.run(_letters(load_settings(CommonSettings), services))
    if as_json:
        rows = [_row(name, letter) for name, letter in letters]
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
        return
    table = Table("service", "sequence", box=None, pad_edge=False)
    table.add_column("message id", overflow="fold")
    table.add_column("reason", no_wrap=True)
    table.add_column("description")
    for name, letter in letters:
        table.add_row(name, str(letter.sequence), letter.message_id, escape(letter.reason), escape(letter.description))
    output().print(table if letters else f"no dead letters: {', '.join(services)}")


@dlq.command("show")
def dlq_show(service: Service, which: Which) -> None:
    """Show one dead letter whole."""
    name = _known(service)
    found = [
        letter
        for _, letter in asyncio.run(_letters(load_settings(CommonSettings), [name]))
        if which in (str(letter.sequence), letter.message_id)
    ]
    if not found:
        sys.stderr.write(f"{name} has no dead letter {which}; see `retl dlq list {name}`\n")
        raise typer.Exit(1)
    letter = found[0]
    sys.stdout.write(f"{letter.reason}: {letter.description}\nid {letter.message_id}\n")
    sys.stdout.writelines(f"{key} = {value}\n" for key, value in letter.properties.items())
    sys.stdout.write(letter.body.decode(errors="replace") + "\n")


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
        raise typer.BadParameter(f"{service!r} is none of {_NAMES}", param_hint="SERVICE")
    return service


def _reference(which: str) -> int | str:
    return int(which) if which.isdigit() else which


def _row(service: str, letter: DeadLetteredMessage) -> dict[str, object]:
    return {
        "service": service,
        "sequence": letter.sequence,
        "message_id": letter.message_id,
        "type": letter.type,
        "run_id": letter.run_id,
        "reason": letter.reason,
        "description": letter.description,
        "enqueued_at": letter.enqueued_at,
    }


def _of(bus: Bus, service: str) -> DeadLetters:
    return bus.dead_letters(CONSUMERS[service], service)


async def _letters(settings: CommonSettings, services: list[str]) -> list[tuple[str, DeadLetteredMessage]]:
    async with open_bus(settings) as bus:
        found = await letters_of(bus, services)
    return [(service, letter) for service, letters in found.items() for letter in letters]


async def _replay(settings: CommonSettings, service: str, which: int | str) -> None:
    async with open_bus(settings) as bus, reading_state(settings) as state:
        letters = _of(bus, service)
        async for letter in letters.list():
            if which in (letter.sequence, letter.message_id) and letter.run_id:
                await state.reopen_run(letter.run_id, SystemClock().now())
        sent = await letters.replay(which)
    sys.stdout.write(f"sent again to {service} as {sent.message_id}\n")


async def _discard(settings: CommonSettings, service: str, which: int | str) -> None:
    async with open_bus(settings) as bus:
        gone = await _of(bus, service).discard(which)
    sys.stdout.write(f"discarded {gone.message_id} ({gone.reason})\n")

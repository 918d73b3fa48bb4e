"""`retl sync`: what Salesforce was told about a customer, and what it would be told now."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from libs.cli import options
from libs.cli.consoles import output
from libs.cli.sync_text import print_history, print_preview
from libs.common.errors import TerminalError
from libs.common.lake import open_lake
from libs.common.settings import CommonSettings, load_settings
from libs.common.synclog import CustomerHistory, SyncLog
from libs.common.week import Week

sync = typer.Typer(help="Look at what Salesforce was told, and at what it would be told.", no_args_is_help=True)

_PREVIEW: Final = (sys.executable, "-m", "services.sf_sync", "preview")
"""A process of its own: what a service needs is not installed with the command alone, and is never imported by it."""


class NeverSyncedError(TerminalError):
    """Nothing has been sent to Salesforce from this lake yet."""

    code = "sync_unknown_week"
    next_step = (
        "See `retl runs` for the weeks that ran and `retl sync preview` for what a sync would send; check that "
        "LAKE_URL is the pipeline's."
    )


class UnknownCustomerError(TerminalError):
    """The sync logs hold no row of this customer."""

    code = "sync_unknown_customer"
    next_step = (
        "Check the id (it is the events' user_id, in the same spelling) and the week; a customer without a valid "
        "event in a week has no row in it."
    )


WeekOption = Annotated[
    str | None, typer.Option("--week", metavar="YYYY-MM-DD", help="First day of the week. [default: the newest]")
]


@sync.command("show")
def show(
    customer: Annotated[str, typer.Option("--customer", metavar="ID", help="The customer's id: the events' user_id.")],
    week: WeekOption = None,
    as_json: options.AsJson = False,
) -> None:
    """Was this customer's row sent, with what values, and what did Salesforce say?

    Reads the sync logs in the lake (LAKE_URL), nothing else.
    """
    chosen, history = asyncio.run(_history(load_settings(CommonSettings), customer, _first_day(week)))
    if not history.is_known:
        raise UnknownCustomerError(f"Customer {customer} has no row in the sync of week {chosen}.")
    if as_json:
        found = {"customer_id": customer, "week_start": chosen.start, "week_end": chosen.end}
        sys.stdout.write(msgspec.json.encode({**found, **msgspec.to_builtins(history)}).decode() + "\n")
    else:
        print_history(customer, chosen, history, output())


@sync.command("preview")
def preview(
    week: WeekOption = None,
    samples: Annotated[int, typer.Option("--samples", min=0, help="Sample rows of each kind.")] = 5,
    full: Annotated[bool, typer.Option("--full", help="As with `retl publish --full`: every row is sent.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what a sync of a published week would create, change and leave, with samples; send nothing.

    Needs the settings of the sf_sync service (SF_LOGIN_URL and so on) beside STATE_URL and LAKE_URL, because the
    mapping is checked against the org.
    """
    first_day = _first_day(week)
    arguments = ["--rows", str(samples), *(["--full"] if full else [])]
    arguments += ["--week", first_day.isoformat()] if first_day else []
    done = subprocess.run([*_PREVIEW, *arguments], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)
    if as_json:
        sys.stdout.write(done.stdout.decode())
    else:
        print_preview(msgspec.json.decode(done.stdout), output())


def _first_day(week: str | None) -> date | None:
    try:
        return None if week is None else date.fromisoformat(week)
    except ValueError as error:
        raise typer.BadParameter(f"not a date: {error}", param_hint="--week") from error


async def _history(settings: CommonSettings, customer: str, start: date | None) -> tuple[Week, CustomerHistory]:
    lake = open_lake(settings.lake_url, connection_string=settings.datalake_connection_string)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            log = SyncLog(lake, Path(scratch))
            week = _choose(await log.weeks(), start)
            return week, await log.customer(customer, week)
    finally:
        await lake.aclose()


def _choose(logged: list[Week], start: date | None) -> Week:
    """The newest week of the log (that starts on that day). Raises NeverSyncedError, WeekError."""
    wanted = [week for week in logged if start in (None, week.start)]
    if wanted:
        return wanted[-1]
    if start is None:
        raise NeverSyncedError("There is no snapshot yet: nothing was ever sent to Salesforce from this lake.")
    raise NeverSyncedError(f"There is no snapshot of week {Week.of(start)} yet: nothing of it was sent to Salesforce.")

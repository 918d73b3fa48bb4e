"""`retl`: run a week here, ask for one elsewhere, and look after the pipeline."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from libs.cli.commands import api, local, operate, publish, status
from libs.cli.commands.dlq import dlq
from libs.cli.commands.doctor import doctor
from libs.cli.commands.sync import sync
from libs.common.errors import RetlError, SettingsError
from libs.common.week import WeekError

app = typer.Typer(
    name="retl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"retl {version('retl')}\n")
        raise typer.Exit


@app.callback()
def about(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Reverse ETL: a week of e-commerce events through data lake and quality gate into Salesforce."""


app.command()(local.demo)
app.command()(local.run)
app.command()(publish.publish)
app.command()(publish.backfill)
app.command()(status.status)
app.command()(status.runs)
app.command("check-api")(api.check_api)
app.command()(operate.cancel)
app.command()(operate.migrate)
app.command()(doctor)
app.add_typer(dlq, name="dlq")
app.add_typer(sync, name="sync")


def main() -> None:
    """Run the command; errors of ours become two lines on standard error and an exit status."""
    try:
        app()
    except RetlError as error:
        again = "Run the command again. If it goes on: " if error.transient else ""
        sys.stderr.write(f"{error.code}: {error}\nNext: {again}{error.next_step}\n")
        sys.exit(2 if isinstance(error, SettingsError | WeekError) else 1)


if __name__ == "__main__":
    main()

"""What `demo` and `run` have in common: interrupts, consoles, output and exit status."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

import msgspec
import typer

from libs.cli.consoles import errors, output
from libs.cli.local_run import LocalRun
from libs.cli.progress import ProgressView
from libs.cli.result import RunResult
from libs.cli.summary import print_error, print_summary

INTERRUPTED = 130


def execute(run: LocalRun, view: ProgressView, *, as_json: bool) -> None:
    """Carry the run out, print what it came to, and exit: 0, 1, or 130 when interrupted."""
    try:
        with view:
            result = asyncio.run(_interruptible(run))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("interrupted; every process is stopped\n")
        raise typer.Exit(INTERRUPTED) from None
    finish(result, as_json=as_json)


def finish(result: RunResult, *, as_json: bool) -> None:
    """Print the result (standard output) and its error (standard error), and exit by it."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        print_summary(result, output())
    print_error(result, errors())
    if not result.succeeded:
        raise typer.Exit(1)


async def _interruptible(run: LocalRun) -> RunResult:
    """SIGTERM stops everything in order, as Ctrl-C does."""
    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(NotImplementedError):  # event loops that know no signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run.execute()

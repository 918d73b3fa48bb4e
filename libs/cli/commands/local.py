"""`retl demo` and `retl run`: a whole week on this machine."""

from __future__ import annotations

import asyncio
import os
import shutil
from datetime import date
from typing import Annotated

import typer

from libs.cli import options
from libs.cli.consoles import errors
from libs.cli.local_run import DATA_DIR, LocalRun, local_state
from libs.cli.progress import ProgressView, progress_view
from libs.cli.publishing import week_request
from libs.cli.result import RunResult, result_of
from libs.cli.runner import execute, finish
from libs.cli.stack import EventsEmulator, LocalStack, user_environment
from libs.common.clock import SystemClock
from libs.common.messages import RunOptions
from libs.common.state import Failure
from libs.common.week import Week, WeekError

DEMO_WEEK = Week(date(2026, 1, 5), date(2026, 1, 11))
DEMO_DIR = DATA_DIR / "demo"


def demo(
    events: Annotated[int, typer.Option("--events", min=0, help="Events in the generated week.")] = 20_000,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Run a whole generated week on this machine, with nothing configured, and show what happened.

    Without --data-dir everything lies in retl-data/demo, made anew each time. In a folder of your own the demo goes on
    with the following week each time.
    """
    if data_dir is None:
        shutil.rmtree(DEMO_DIR, ignore_errors=True)
    view = _view()
    stack = LocalStack(data_dir or DEMO_DIR, dict(os.environ), view.say, events=EventsEmulator(events))
    run = LocalRun(stack=stack, week=None, first_week=DEMO_WEEK, options=RunOptions(), view=view, clock=SystemClock())
    execute(run, view, as_json=as_json)


def run(
    week_start: options.WeekStart,
    week_end: options.WeekEnd = None,
    data_dir: options.DataDir = None,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    advance_on_skip: options.AdvanceOnSkip = False,
    full: options.FullSync = False,
    as_json: options.AsJson = False,
) -> None:
    """Run a week of your own API (API_BASE_URL, API_KEY; `.env` is read) on this machine.

    Lake, state and bus lie under --data-dir. Salesforce is the emulator unless SF_LOGIN_URL names a real one.
    """
    view, clock, environment = _view(), SystemClock(), user_environment()
    if not environment.get("API_BASE_URL"):
        raise typer.BadParameter("API_BASE_URL is not set: the address of your events API.", param_hint="environment")
    stack = LocalStack(data_dir or DATA_DIR, environment, view.say)
    run_options = RunOptions(force=force, dry_run=dry_run, advance_on_skip=advance_on_skip, full_sync=full)
    start, end = options.day(week_start), options.day(week_end)
    if start is None:
        raise typer.BadParameter("is needed", param_hint="--week-start")
    try:
        week = Week.of(start, end)
    except WeekError as error:
        finish_refused(stack, Week(start, end or start), run_options, error, as_json=as_json)
        return
    execute(LocalRun(stack=stack, week=week, options=run_options, view=view, clock=clock), view, as_json=as_json)


def finish_refused(stack: LocalStack, week: Week, run_options: RunOptions, error: WeekError, *, as_json: bool) -> None:
    """Leave a trace of a request that could not be started, print it, and exit with 2 (wrong usage)."""
    try:
        finish(asyncio.run(_refuse(stack, week, run_options, error)), as_json=as_json)
    except typer.Exit:
        raise typer.Exit(2) from error


async def _refuse(stack: LocalStack, week: Week, run_options: RunOptions, error: WeekError) -> RunResult:
    settings, now = stack.settings(), SystemClock().now()
    async with local_state(settings) as state:
        request = week_request(settings.pipeline_name, week, run_options, now)
        await state.refuse_run(request, Failure(error.code, str(error), error.next_step), now)
        await state.mark_told(request.run_id, now)  # by this command, at once
        refused = await state.get_run(request.run_id)
        if refused is None:
            raise error
        return result_of(refused, [], await state.checkpoint(settings.pipeline_name), lake_root=str(stack.lake))


def _view() -> ProgressView:
    return progress_view(errors())

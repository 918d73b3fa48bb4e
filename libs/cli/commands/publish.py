"""`retl publish` and `retl backfill`: asking the deployed pipeline for weeks."""

from __future__ import annotations

import asyncio
import sys
from datetime import date
from typing import Annotated

import typer

from libs.cli import options
from libs.cli.consoles import errors
from libs.cli.progress import progress_view
from libs.cli.publishing import publish as publish_requests
from libs.cli.publishing import week_request
from libs.cli.result import RunResult, result_of
from libs.cli.runner import finish
from libs.cli.watch import follow
from libs.common.clock import SystemClock
from libs.common.errors import TerminalError
from libs.common.messages import RunOptions, WeekRequested
from libs.common.settings import CommonSettings, load_settings
from libs.common.state import State, open_state
from libs.common.week import Week


class NoNextWeekError(TerminalError):
    """There is no checkpoint to take the next week from."""

    code = "no_next_week"
    next_step = "Publish the first week by name: retl publish --week-start YYYY-MM-DD."


class WeekNotOverError(TerminalError):
    """The next week has not ended yet: it would be recorded as done with the events of a few days."""

    code = "week_not_over"
    next_step = "Ask again when it is over; `retl publish --week-start` asks for any week by name."


def publish(
    week_start: options.WeekStart = None,
    week_end: options.WeekEnd = None,
    next_week: Annotated[bool, typer.Option("--next", help="Take the week from the checkpoint.")] = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    advance_on_skip: options.AdvanceOnSkip = False,
    full: options.FullSync = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end and exit by it.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Publish one `week.requested` to the configured bus."""
    if next_week == (week_start is not None):
        raise typer.BadParameter("give either --week-start or --next")
    settings = load_settings(CommonSettings)
    run_options = RunOptions(force=force, dry_run=dry_run, advance_on_skip=advance_on_skip, full_sync=full)
    start = options.day(week_start)
    week = None if start is None else Week.of(start, options.day(week_end))
    result = asyncio.run(_publish(settings, week, run_options, wait=wait))
    if result is not None:
        finish(result, as_json=as_json)


async def _publish(
    settings: CommonSettings, week: Week | None, run_options: RunOptions, *, wait: bool
) -> RunResult | None:
    state, now = open_state(settings.state_url), SystemClock().now()
    try:
        request = week_request(
            settings.pipeline_name, week or await _next_week(state, settings, now.date()), run_options, now
        )
        await publish_requests(settings, request)
        sys.stderr.write(f"published week {request.week} as run {request.run_id}\n")
        if not wait:
            sys.stdout.write(f"{request.run_id}\n")
            return None
        return await _wait(state, settings, request)
    finally:
        await state.aclose()


async def _wait(state: State, settings: CommonSettings, request: WeekRequested) -> RunResult:
    with progress_view(errors()) as view:
        last = await follow(state, request.run_id, view.show)
    if last.run is None:
        raise AssertionError("a run that is over is recorded")
    return result_of(
        last.run,
        last.stages.values(),
        await state.checkpoint(settings.pipeline_name),
        lake_root=settings.lake_url.rstrip("/"),
        published_at=request.requested_at,
    )


async def _next_week(state: State, settings: CommonSettings, today: date) -> Week:
    checkpoint = await state.checkpoint(settings.pipeline_name)
    if checkpoint is None or checkpoint.next_week is None:
        raise NoNextWeekError
    if checkpoint.next_week.end >= today:
        raise WeekNotOverError(f"The next week, {checkpoint.next_week}, ends on {checkpoint.next_week.end} (UTC).")
    return checkpoint.next_week


def backfill(
    first: Annotated[str, typer.Option("--from", help="Monday of the first week (YYYY-MM-DD).")],
    last: Annotated[str, typer.Option("--to", help="Monday of the last week (YYYY-MM-DD).")],
    force: options.Force = False,
    dry_run: options.DryRun = False,
) -> None:
    """Publish every week from one Monday to another; weeks that are done are skipped unless forced."""
    try:
        week, end = Week.of(date.fromisoformat(first)), Week.of(date.fromisoformat(last))
    except ValueError as error:
        raise typer.BadParameter(f"not a date: {error}") from error
    if end < week:
        raise typer.BadParameter(f"{last} is before {first}", param_hint="--to")
    settings, now = load_settings(CommonSettings), SystemClock().now()
    requests = []
    while week <= end:
        requests.append(week_request(settings.pipeline_name, week, RunOptions(force=force, dry_run=dry_run), now))
        week = week.next()
    asyncio.run(publish_requests(settings, *requests))
    for request in requests:
        sys.stdout.write(f"{request.week} {request.run_id}\n")

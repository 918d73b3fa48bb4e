"""One week on this machine, from the start of the processes to their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from libs.cli.processes import ChildError
from libs.cli.progress import ProgressView
from libs.cli.publishing import publish, week_request
from libs.cli.result import RunResult, result_of
from libs.cli.stack import LocalStack
from libs.cli.watch import Snapshot, follow
from libs.common.clock import Clock
from libs.common.errors import TerminalError
from libs.common.messages import RunOptions
from libs.common.settings import CommonSettings
from libs.common.state import State, migrate, open_state
from libs.common.week import Week


class NotStartedError(TerminalError):
    """The run never began."""

    code = "run_not_started"
    next_step = "Read the extractor's log under the data folder."


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """What to run and how to show it. `week` None takes the one that the checkpoint expects, or `first_week`."""

    stack: LocalStack
    week: Week | None
    first_week: Week | None = None
    options: RunOptions
    view: ProgressView
    clock: Clock

    async def execute(self) -> RunResult:
        """Start the stack, run the week, stop the stack whatever happens.

        Raises FolderUnusableError, FolderInUseError, ChildError, StateError, BusError.
        """
        started = self.clock.monotonic()
        try:
            self.stack.claim()
            async with local_state(self.stack.settings()) as state:
                # Before anything runs: services go on by themselves with what they find on the bus.
                interrupted, week = await self._plan(state)
            await self.stack.start()
            startup = self.clock.monotonic() - started
            self.view.say(f"everything is up after {startup:.1f} s; logs in {self.stack.logs}")
            return await self._run(interrupted, week, startup)
        finally:
            await asyncio.shield(self.stack.stop())

    async def _plan(self, state: State) -> tuple[str | None, Week]:
        """The week, and its run that an earlier command left in the middle: its messages are still on the bus."""
        pipeline_name = self.stack.settings().pipeline_name
        week = self.week or await self._expected_week(state, pipeline_name)
        for run in await state.active_runs(pipeline_name):
            if run.week == week:
                self.view.say(f"week {week} was interrupted as run {run.run_id}; going on with it")
                return run.run_id, week
        return None, week

    async def _run(self, interrupted: str | None, week: Week, startup_seconds: float) -> RunResult:
        settings, begun_at = self.stack.settings(), self.clock.now()
        async with local_state(settings) as state:
            run_id = interrupted or await self._request(settings, week, begun_at)
            last = await self._follow(state, run_id)
            if last.run is None:
                raise NotStartedError
            return result_of(
                last.run,
                last.stages.values(),
                await state.checkpoint(settings.pipeline_name),
                lake_root=str(self.stack.lake),
                published_at=begun_at,
                startup_seconds=round(startup_seconds, 3),
            )

    async def _request(self, settings: CommonSettings, week: Week, now: datetime) -> str:
        request = week_request(settings.pipeline_name, week, self.options, now)
        self.view.say(f"week {week} requested (run {request.run_id})")
        await publish(settings, request)
        return request.run_id

    async def _expected_week(self, state: State, pipeline_name: str) -> Week:
        checkpoint = await state.checkpoint(pipeline_name)
        week = checkpoint.next_week if checkpoint and checkpoint.next_week else self.first_week
        if week is None:
            raise NotStartedError("No week was given, and there is no checkpoint to take one from.")
        return week

    async def _follow(self, state: State, run_id: str) -> Snapshot:
        """Follow the run while the processes are watched; whichever ends first decides."""
        following = asyncio.create_task(follow(state, run_id, self.view.show), name="follow-run")
        watching = asyncio.create_task(self.stack.watch(), name="watch-children")
        try:
            await asyncio.wait({following, watching}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                return following.result()
            raise _reason(watching)
        finally:
            for task in (following, watching):
                task.cancel()
            await asyncio.gather(following, watching, return_exceptions=True)


def _reason(watching: asyncio.Task[None]) -> BaseException:
    """Why watching ended: the ChildError inside the group's exception."""
    error = watching.exception()
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error or ChildError("The watch over the processes ended by itself.")


@asynccontextmanager
async def local_state(settings: CommonSettings) -> AsyncIterator[State]:
    """The state tables of a local run, made if they are not there."""
    await asyncio.to_thread(migrate, settings.state_url)
    state = open_state(settings.state_url)
    try:
        yield state
    finally:
        await state.aclose()


DATA_DIR = Path("retl-data")
"""Where local runs keep their lake, state, bus and logs unless told otherwise."""

"""The connection breaks before, in and after the commit of every transaction of every operation, on every database.

Each operation is compared with the same operation undisturbed: what it returns, and every row that it leaves.
"""

from __future__ import annotations

import inspect
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from libs.common.errors import is_transient
from libs.common.messages import RunOptions, WeekRequested
from libs.common.state import Failure, RunStatus, Stage, StageStatus, State, StateUnavailableError
from tests.contract.state.breaking import Breaker, Point, breaking

FAILURE = Failure("broken", "It broke.", "Mend it.")
NOW = datetime.fromisoformat("2024-01-08T05:00:00.123456+00:00")
LATER = NOW + timedelta(minutes=1)


@dataclass(frozen=True)
class World:
    """A pipeline of its own; two worlds in which the same happened differ in nothing but their names."""

    state: State
    name: str = field(default_factory=lambda: f"w{secrets.token_hex(6)}")

    @property
    def run(self) -> str:
        return f"{self.name}-run"

    def request(self, run: str = "run", **options: bool) -> WeekRequested:
        return WeekRequested(
            run_id=f"{self.name}-{run}",
            pipeline_name=self.name,
            week_start=date(2024, 1, 1),
            week_end=date(2024, 1, 7),
            correlation_id="correlation",
            requested_by="somebody",
            requested_at=NOW,
            options=RunOptions(**options),
        )

    async def open(self, run: str = "run", **options: bool) -> Any:
        return await self.state.open_run(self.request(run, **options), NOW)

    async def start(self, stage: Stage = Stage.EXTRACT) -> Any:
        return await self.state.start_stage(self.run, stage, NOW)

    async def end(self, status: RunStatus = RunStatus.FAILED, stage: Stage | None = None) -> Any:
        return await self.state.end_run(self.run, status, NOW, FAILURE, stage)

    async def complete(self, run: str = "run") -> Any:
        return await self.state.complete_gate(
            f"{self.name}-{run}",
            LATER,
            status=RunStatus.SUCCESS,
            rows_output=1,
            rows_rejected=0,
            reject_rate_pct=Decimal(0),
            outgoing="message",
        )

    async def record(self) -> Any:
        return await self.state.record_part(self.run, Stage.LOAD, 0, NOW, row_count=1, outgoing="message")

    async def advance(self, weeks: int = 0) -> Any:
        week = self.request().week
        following = [week, week.next()][weeks]
        return await self.state.advance_checkpoint(self.name, following, NOW)

    def shown(self, value: Any) -> str:
        """The value without the world's name in it."""
        return repr(value).replace(self.name, "w")

    async def rows(self) -> list[str]:
        """Everything that the tables say about this world."""
        runs = await self.state.runs(self.name)
        known = {self.run, *(run.run_id for run in runs)}
        stages = [row for run in sorted(known) for row in await self.state.stages(run)]
        parts = [row for run in sorted(known) for stage in Stage for row in await self.state.parts(run, stage)]
        untold = [run.run_id for run in await self.state.untold_runs(LATER, 0) if run.pipeline_name == self.name]
        found = [*runs, *stages, *parts, *untold, await self.state.checkpoint(self.name)]
        return [self.shown(row) for row in found]


Step = Callable[[World], Awaitable[Any]]


@dataclass(frozen=True)
class Case:
    """An operation, in a situation."""

    operation: str
    situation: str
    call: Step
    before: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return f"{self.operation} {self.situation}".strip()

    async def world(self, state: State) -> World:
        """A world in which everything is ready for the call."""
        world = World(state)
        for step in self.before:
            await step(world)
        return world


_opened: Step = lambda w: w.open()  # noqa: E731 - a table of one-line steps reads best as lambdas
_started: Step = lambda w: w.start()  # noqa: E731
_failed: Step = lambda w: w.end()  # noqa: E731
_passed: Step = lambda w: w.complete()  # noqa: E731
_recorded: Step = lambda w: w.record()  # noqa: E731
_finished: Step = lambda w: w.state.finish_stage(  # noqa: E731
    w.run, Stage.EXTRACT, StageStatus.SUCCESS, LATER, row_count=1, outgoing="message"
)
_sync_failed: Step = lambda w: w.end(stage=Stage.SALESFORCE_SYNC)  # noqa: E731

CASES = (
    Case("open_run", "", _opened),
    Case("open_run", "again", _opened, (_opened,)),
    Case("refuse_run", "", lambda w: w.state.refuse_run(w.request(), FAILURE, NOW)),
    Case("refuse_run", "that is open", lambda w: w.state.refuse_run(w.request(), FAILURE, NOW), (_opened,)),
    Case("start_stage", "", _started),
    Case("start_stage", "again", _started, (_started,)),
    Case("start_stage", "that failed", _started, (_opened, _started, lambda w: w.end(stage=Stage.EXTRACT))),
    Case("set_parts_total", "", lambda w: w.state.set_parts_total(w.run, 3), (_started,)),
    Case("finish_stage", "", _finished, (_started,)),
    Case(
        "mark_stage_published", "", lambda w: w.state.mark_stage_published(w.run, Stage.EXTRACT), (_started, _finished)
    ),
    Case("record_part", "", _recorded),
    Case("record_part", "again", _recorded, (_recorded,)),
    Case("update_part", "", lambda w: w.state.update_part(w.run, Stage.LOAD, 0, 1, details={"a": 1}), (_recorded,)),
    Case("mark_part_published", "", lambda w: w.state.mark_part_published(w.run, Stage.LOAD, 0), (_recorded,)),
    Case("add_run_counts", "", lambda w: w.state.add_run_counts(w.run, rows_fetched=7), (_opened,)),
    Case("end_run", "", _failed, (_opened, _started)),
    Case("end_run", "with its stage", lambda w: w.end(RunStatus.TIMED_OUT, Stage.LOAD), (_opened, _started)),
    Case("end_run", "that passed, its sync", _sync_failed, (_opened, _passed)),
    Case(
        "end_run",
        "that passed, its running sync",
        _sync_failed,
        (_opened, _passed, lambda w: w.start(Stage.SALESFORCE_SYNC)),
    ),
    Case("mark_told", "", lambda w: w.state.mark_told(w.run, LATER), (_opened, _failed)),
    Case("reopen_run", "", lambda w: w.state.reopen_run(w.run, LATER), (_opened, _started, _failed)),
    Case("reopen_run", "that passed", lambda w: w.state.reopen_run(w.run, LATER), (_opened, _passed, _sync_failed)),
    Case("complete_gate", "", _passed, (_opened, lambda w: w.start(Stage.QUALITY_GATE))),
    Case(
        "complete_gate",
        "in place of another",
        lambda w: w.complete("new"),
        (_opened, _passed, lambda w: w.open("new", force=True)),
    ),
    Case("advance_checkpoint", "for the first time", lambda w: w.advance()),
    Case("advance_checkpoint", "", lambda w: w.advance(1), (lambda w: w.advance(),)),
    Case("get_run", "", lambda w: w.state.get_run(w.run), (_opened,)),
    Case("runs", "", lambda w: w.state.runs(w.name), (_opened,)),
    Case("active_runs", "", lambda w: w.state.active_runs(w.name), (_opened,)),
    Case("successful_run", "", lambda w: w.state.successful_run(w.name, w.request().week), (_opened, _passed)),
    Case("due_runs", "", lambda w: _own(w, w.state.due_runs(LATER, 1)), (_opened,)),
    Case("untold_runs", "", lambda w: _own(w, w.state.untold_runs(LATER, 1)), (_opened, _failed)),
    Case("get_stage", "", lambda w: w.state.get_stage(w.run, Stage.EXTRACT), (_started,)),
    Case("stages", "", lambda w: w.state.stages(w.run), (_started,)),
    Case("get_part", "", lambda w: w.state.get_part(w.run, Stage.LOAD, 0), (_recorded,)),
    Case("parts", "", lambda w: w.state.parts(w.run, Stage.LOAD), (_recorded,)),
    Case("part_totals", "", lambda w: w.state.part_totals(w.run, Stage.LOAD), (_recorded,)),
    Case("checkpoint", "", lambda w: w.state.checkpoint(w.name), (lambda w: w.advance(),)),
)
HEALTH = Case("ping", "", lambda w: w.state.ping())
"""Answers at once, well or ill, so it does not try again."""


async def _own(world: World, found: Awaitable[list[Any]]) -> list[Any]:
    return [run for run in await found if run.pipeline_name == world.name]


class Hurried:
    """A clock on which pauses take no time."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Return at once."""


@pytest.fixture
async def patient(target: Any) -> AsyncIterator[State]:
    opened = target.open(clock=Hurried())
    await opened.ping()
    yield opened
    await opened.aclose()


@pytest.fixture
async def impatient(target: Any) -> AsyncIterator[State]:
    """Raises at the first fault."""
    opened = target.open(patience_sec=0)
    await opened.ping()
    yield opened
    await opened.aclose()


@pytest.fixture
def breaker(request: pytest.FixtureRequest) -> Iterator[Breaker]:
    """Below the state that the test uses besides."""
    (name,) = {"patient", "impatient"} & set(request.fixturenames)
    with breaking(request.getfixturevalue(name)) as installed:
        yield installed


def test_every_operation_is_here() -> None:
    operations = {
        name for name, _ in inspect.getmembers(State, inspect.iscoroutinefunction) if not name.startswith("_")
    }

    assert {case.operation for case in (*CASES, HEALTH)} == operations - {"aclose"}


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_call_goes_on_as_if_nothing_had_happened(case: Case, patient: State, breaker: Breaker) -> None:
    undisturbed = await case.world(patient)
    breaker.arm(None)
    expected = undisturbed.shown(await case.call(undisturbed))
    transactions = breaker.transactions
    left = await undisturbed.rows()

    for point in Point:
        broken = 0
        for which in range(1, transactions + 1):
            world = await case.world(patient)
            breaker.arm(point, which)
            result = world.shown(await case.call(world))
            broken += breaker.broken
            breaker.arm(None)

            assert (result, await world.rows()) == (expected, left), (point, which)
        assert broken > 0, point


@pytest.mark.parametrize("case", [*CASES, HEALTH], ids=str)
async def test_a_caller_that_is_told_and_repeats_leaves_what_it_would_have_left(
    case: Case, impatient: State, breaker: Breaker
) -> None:
    undisturbed = await case.world(impatient)
    await case.call(undisturbed)
    left = _without_effort(await undisturbed.rows())

    for point in Point:
        world = await case.world(impatient)
        breaker.arm(point)
        with pytest.raises(StateUnavailableError) as told:
            await case.call(world)
        assert is_transient(told.value)
        await case.call(world)
        breaker.arm(None)

        assert _without_effort(await world.rows()) == left, point


def _without_effort(rows: list[str]) -> list[str]:
    """A repeated call is another attempt, and says so."""
    return [re.sub(r"(attempts|revision)=\d+", "", row) for row in rows]

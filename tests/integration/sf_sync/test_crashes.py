"""The service dies after any of its effects, and a fresh one ends the sync as if nothing had happened."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace
from typing import Any

import pytest

from services.sf_sync.handlers import handle

EFFECTS = {
    "record_part", "update_part", "finish_stage",  # state
    "put_file", "delete",  # lake
    "request",  # Salesforce
}  # fmt: skip


class Crash(BaseException):
    """The end of the process, as far as the code can tell."""


class Fuse:
    """Burns down with every effect; `burnt` says what it was at when the process died."""

    def __init__(self, steps: int) -> None:
        self.left, self.burnt = steps, ""

    def step(self, where: str) -> None:
        self.left -= 1
        if self.left < 0:
            self.burnt = self.burnt or where
            raise Crash(where)


class Fragile:
    """Passes calls on to `inner`; the fuse is a step shorter after each that has an effect."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in EFFECTS:
            return method
        return self._later(name, method) if inspect.iscoroutinefunction(method) else self._now(name, method)

    def _now(self, name: str, method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            self._fuse.step(" ".join([name, *map(str, args[:2])]))
            return result

        return call

    def _later(self, name: str, method: Any) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs)
            self._fuse.step(name)
            return result

        return call


async def crash_after(bench: Any, message: Any, steps: int, **settings: Any) -> str:
    """Handle the message with a service that dies after so many steps; where it did, "" if it lived."""
    tools, fuse = bench.tools(**settings), Fuse(steps)
    fragile = replace(
        tools,
        state=Fragile(tools.state, fuse),
        lake=Fragile(tools.lake, fuse),
        session=Fragile(tools.session, fuse),
    )
    try:
        await handle(message, fragile)
    except Crash:
        return fuse.burnt
    finally:
        await asyncio.to_thread(tools.session.close)
    return ""


async def die_everywhere(bench: Any, make: Any, *, rows: int, lock: int, **settings: Any) -> list[tuple[str, Any, Any]]:
    """One run for every step that a sync has; where each died, its rows and its stage in the end.

    Each is the second run of the week on a copy of the first one's lake and tables: a hundred runs of one week would
    mostly look at one another.
    """
    deaths: list[tuple[str, Any, Any]] = []
    await bench.synced("first", make.signals(2), **settings)
    for steps in range(500):
        data = [make.signal(f"s{steps:03d}-{row}") for row in range(rows)]
        keys = [row["external_signal_id"] for row in data[:lock]]
        bench.emulator.faults(*([{"kind": "row_lock", "external_ids": keys}] if keys else []))
        async with bench.copy(f"copy-{steps}") as mine:
            message = await mine.passed("second", data, force=True)
            where = await crash_after(mine, message, steps, **settings)
            if not where:
                return deaths
            await mine.handle(message, **settings)
            deaths.append((where, data, await mine.stage("second")))
    raise AssertionError("the sync has no end")


@pytest.mark.chaos
async def test_a_bulk_sync_survives_death_at_every_step_and_processes_no_row_twice(bench: Any, make: Any) -> None:
    deaths = await die_everywhere(bench, make, rows=5, lock=1, sf_job_max_rows=3, sf_concurrent_jobs=1)
    assert len(deaths) > 30
    records, attempts = bench.emulator.records(), bench.emulator.attempts()
    for where, data, stage in deaths:
        locked, *others = [row["external_signal_id"] for row in data]
        assert stage.status == "SUCCESS", where
        assert (stage.details["created"], stage.details["failed"]) == (5, 0), where
        assert {key for key in (locked, *others) if key in records} == {locked, *others}, where
        assert attempts[locked] == 2, where
        assert {attempts[key] for key in others} == {1}, where


@pytest.mark.chaos
async def test_a_sync_by_collections_survives_death_at_every_step(bench: Any, make: Any) -> None:
    deaths = await die_everywhere(bench, make, rows=3, lock=1, sf_collections_below=2000)
    records, attempts = bench.emulator.records(), bench.emulator.attempts()
    for where, data, stage in deaths:
        locked, *others = [row["external_signal_id"] for row in data]
        assert stage.status == "SUCCESS", where
        # A call whose answer got lost is made again, and then finds the records there.
        assert stage.details["created"] + stage.details["updated"] == 3, where
        assert {locked, *others} <= records.keys(), where
        assert attempts[locked] <= 3, where
        assert {attempts[key] for key in others} <= {1, 2}, where


@pytest.mark.parametrize("steps", [15, 20])
async def test_a_service_that_dies_again_and_again_gets_on(bench: Any, make: Any, steps: int) -> None:
    message = await bench.passed("r1", make.signals(7))
    lives = 0
    while await crash_after(bench, message, steps, sf_job_max_rows=3, sf_concurrent_jobs=1):
        lives += 1
        assert lives < 30
    assert (await bench.stage("r1")).details["created"] == 7
    assert set(bench.emulator.attempts().values()) == {1}

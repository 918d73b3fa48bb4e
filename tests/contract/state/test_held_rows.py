"""What calls do while somebody else holds the rows that they need, on every database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, update

from libs.common.errors import is_transient
from libs.common.messages import WeekRequested
from libs.common.state import RunStatus, Stage, State, StateBusyError, StateSetupError, StateUnavailableError, mssql
from libs.common.state.engine import open_engine
from libs.common.state.sqlite import WRITES
from libs.common.state.tables import define_tables

Build = Callable[..., WeekRequested]


@pytest.fixture
async def hasty(target: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[State]:
    """Connections that wait for a lock for a moment only."""
    monkeypatch.setattr(mssql, "SESSION_OPTIONS", ("SET LOCK_TIMEOUT 200",))
    opened = _with_busy_timeout(target).open(patience_sec=0)
    await opened.ping()
    yield opened
    await opened.aclose()


@pytest.fixture
async def impatient(target: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[State]:
    """Connections that wait for a lock for long, and for a statement for a moment."""
    monkeypatch.setattr(mssql, "QUERY_TIMEOUT_SEC", 1)
    opened = _with_busy_timeout(target).open(patience_sec=0)
    await opened.ping()
    yield opened
    await opened.aclose()


def _with_busy_timeout(target: Any) -> Any:
    """SQLite has a time-out for locks only, and in its URL."""
    url = make_url(target.url)
    given = {"sqlite": url.update_query_dict({"timeout": "0.2"}), "mssql": url}[url.get_backend_name()]
    return replace(target, url=given.render_as_string(hide_password=False))


@contextmanager
def held(target: Any, run_id: str) -> Iterator[None]:
    """Somebody's transaction on the run's row, rolled back in the end."""
    engine, naming = open_engine(target.url, credential=None, schema=None, prefix=target.prefix, connections=1)
    run = define_tables(naming).run
    with engine.execution_options(**{WRITES: True}).connect() as connection:
        connection.execute(update(run).where(run.c.run_id == run_id).values(requested_by="holder"))
        yield
        connection.rollback()
    engine.dispose()


async def test_a_row_that_is_held_for_a_while_is_waited_for(
    target: Any, state: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    await state.open_run(request, now)

    with held(target, request.run_id):
        ending = asyncio.ensure_future(state.end_run(request.run_id, RunStatus.CANCELLED, now))
        _, waiting = await asyncio.wait({ending}, timeout=0.5)
        assert waiting == {ending}

    assert await ending
    run = await state.get_run(request.run_id)
    assert run is not None
    assert (run.status, run.requested_by) == (RunStatus.CANCELLED, "somebody")


async def test_a_row_that_stays_held_is_a_transient_error_and_changes_nothing(
    target: Any, hasty: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    await hasty.open_run(request, now)

    with held(target, request.run_id), pytest.raises(StateBusyError) as busy:
        await hasty.end_run(request.run_id, RunStatus.CANCELLED, now)

    assert is_transient(busy.value)
    run = await hasty.get_run(request.run_id)
    assert run is not None
    assert run.status is RunStatus.STARTED


async def test_a_statement_that_takes_too_long_is_a_transient_error_and_its_connection_no_loss(
    target: Any, impatient: State, request_week: Build, now: datetime
) -> None:
    request = request_week()
    await impatient.open_run(request, now)

    with held(target, request.run_id), pytest.raises((StateBusyError, StateUnavailableError)) as slow:
        await impatient.end_run(request.run_id, RunStatus.CANCELLED, now)

    assert is_transient(slow.value)
    assert await impatient.end_run(request.run_id, RunStatus.CANCELLED, now)


async def test_of_two_that_wait_for_each_other_both_take_effect(
    state: State, other: State, pipeline: str, now: datetime
) -> None:
    first, second = f"{pipeline}-1", f"{pipeline}-2"
    both_hold_one = threading.Barrier(2)

    def crossing(store: State, one: str, two: str) -> Callable[[Connection], None]:
        stage = store._tables.stage

        def work(connection: Connection) -> None:
            for run_id in (one, two):
                connection.execute(update(stage).where(stage.c.run_id == run_id).values(attempts=stage.c.attempts + 1))
                # Where only one may write at a time, and in the second try, nobody comes.
                with suppress(threading.BrokenBarrierError):
                    both_hold_one.wait(1)

        return work

    for run_id in (first, second):
        await state.start_stage(run_id, Stage.LOAD, now)
    await asyncio.gather(
        state._db.write(crossing(state, first, second)), other._db.write(crossing(other, second, first))
    )

    stages = [await state.get_stage(run_id, Stage.LOAD) for run_id in (first, second)]
    assert [stage and stage.attempts for stage in stages] == [3, 3]


async def test_who_is_not_let_in_is_told_so_and_says_nothing_secret(
    target: Any, request_week: Build, now: datetime, tmp_path: Any
) -> None:
    (tmp_path / "no.db").write_bytes(b"This is no database, whatever its name says. " * 100)
    url = make_url(target.url)
    refused = {"sqlite": url.set(database=f"{tmp_path}/no.db"), "mssql": url.set(password="not-the-one")}
    state = replace(target, url=refused[url.get_backend_name()].render_as_string(hide_password=False)).open()

    with pytest.raises(StateSetupError) as told:
        await state.open_run(request_week(), now)

    assert not is_transient(told.value)
    assert told.value.next_step
    assert "not-the-one" not in str(told.value)
    await state.aclose()

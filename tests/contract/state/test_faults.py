"""How the tables fail, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import make_url
from sqlalchemy import text as sql

from libs.common.errors import is_transient
from libs.common.messages import WeekRequested
from libs.common.state import (
    Failure,
    RunStatus,
    Stage,
    State,
    StateError,
    StateSchemaError,
    StateUnavailableError,
    StateValueError,
    migrate,
)
from libs.common.state.engine import open_engine
from libs.common.state.revisions import head_revision

Build = Callable[..., WeekRequested]


@pytest.fixture
def unmigrated(target: Any) -> Any:
    return replace(target, prefix=f"{target.prefix}n_")


async def test_missing_tables_say_how_to_make_them(unmigrated: Any, request_week: Build, now: datetime) -> None:
    state = unmigrated.open()
    for call in (state.ping(), state.open_run(request_week(), now), state.checkpoint("any")):
        with pytest.raises(StateSchemaError) as missing:
            await call
        assert not is_transient(missing.value)
        assert "retl migrate" in missing.value.next_step
    await state.aclose()


async def test_tables_of_an_older_release_are_found_by_the_ping(target: Any, state: State) -> None:
    await state.ping()
    _set_revision(target, "0000")
    try:
        with pytest.raises(StateSchemaError, match="at revision 0000"):
            await state.ping()
    finally:
        _set_revision(target, head_revision())


async def test_tables_of_a_newer_release_are_used_but_not_migrated(target: Any, state: State) -> None:
    _set_revision(target, "9999")
    try:
        await state.ping()
        with pytest.raises(StateSchemaError, match="9999"):
            migrate(target.url, prefix=target.prefix)
    finally:
        _set_revision(target, head_revision())


async def test_migrating_again_does_nothing(target: Any) -> None:
    assert migrate(target.url, prefix=target.prefix) == (head_revision(), head_revision())


async def test_text_that_does_not_fit_is_refused_not_cut(state: State, request_week: Build, now: datetime) -> None:
    with pytest.raises(StateValueError) as refused:
        await state.open_run(request_week("r" * 129), now)
    assert not is_transient(refused.value)
    assert await state.open_run(request_week("🦜" * 64), now)


async def test_a_failure_is_recorded_however_long_it_is(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    await state.open_run(request, now)

    await state.end_run(request.run_id, RunStatus.FAILED, now, Failure("long", "🦜" * 5000, "x" * 5000))

    run = await state.get_run(request.run_id)
    assert run is not None
    assert run.error is not None
    assert run.error.message.startswith("🦜" * 1999)
    assert run.error.next_step == "x" * 999 + "…"


async def test_a_failure_is_recorded_whatever_it_says(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    await state.open_run(request, now)

    await state.end_run(request.run_id, RunStatus.FAILED, now, Failure("odd", "half \ud83e a bird", "a \0 in it"))

    run = await state.get_run(request.run_id)
    assert run is not None
    assert run.error == Failure("odd", "half ? a bird", "a ? in it")


async def test_details_come_back_whatever_they_say(state: State, pipeline: str, now: datetime) -> None:
    details = {"half \ud83e a bird": ["a \0 in it", "ü🦜", "", " "]}

    await state.record_part(pipeline, Stage.LOAD, 0, now, row_count=1, details=details)

    part = await state.get_part(pipeline, Stage.LOAD, 0)
    assert part is not None
    assert part.details == details


@pytest.mark.parametrize("text", ["half \ud83e a bird", "a \0 in it"])
async def test_text_that_not_every_database_holds_is_refused_by_all(
    state: State, pipeline: str, request_week: Build, now: datetime, text: str
) -> None:
    for call in (
        state.open_run(request_week(text), now),
        state.get_run(text),
        state.record_part(pipeline, Stage.LOAD, 0, now, row_count=1, outgoing=text),
    ):
        with pytest.raises(StateValueError):
            await call


async def test_a_number_out_of_range_is_refused(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    await state.open_run(request, now)
    with pytest.raises(StateValueError):
        await state.add_run_counts(request.run_id, rows_fetched=2**63)


async def test_a_time_without_a_zone_is_refused(state: State, request_week: Build, now: datetime) -> None:
    with pytest.raises(StateValueError, match="zone"):
        await state.open_run(request_week(), now.replace(tzinfo=None))


async def test_a_rate_out_of_range_is_refused(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    await state.open_run(request, now)
    with pytest.raises(StateValueError, match="per cent"):
        await state.add_run_counts(request.run_id, reject_rate_pct=Decimal("999.99995"))


async def test_details_that_are_no_json_are_refused(state: State, pipeline: str, now: datetime) -> None:
    with pytest.raises(StateValueError):
        await state.record_part(pipeline, Stage.LOAD, 0, now, row_count=1, details={"when": now})


async def test_a_refused_value_leaves_nothing_behind(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    await state.open_run(request, now)

    with pytest.raises(StateValueError):
        await state.complete_gate(
            request.run_id,
            now,
            status=RunStatus.SUCCESS,
            rows_output=1,
            rows_rejected=0,
            reject_rate_pct=Decimal(0),
            stage_details={"when": now},  # written after the run's own row
        )

    run = await state.get_run(request.run_id)
    assert run is not None
    assert (run.status, run.rows_output) == (RunStatus.STARTED, None)
    assert await state.checkpoint(request.pipeline_name) is None


async def test_a_database_that_is_away_is_transient_and_says_nothing_secret(
    target: Any, request_week: Build, now: datetime
) -> None:
    # A folder is no database file; no server listens on port 1.
    url = make_url(target.url)
    nowhere = {"sqlite": url.set(database="/"), "mssql": url.set(port=1)}[url.get_backend_name()]
    state = replace(target, url=nowhere.render_as_string(hide_password=False)).open(patience_sec=0)

    with pytest.raises(StateUnavailableError) as away:
        await state.open_run(request_week(), now)

    assert is_transient(away.value)
    assert "INSERT" not in str(away.value)
    assert (url.password or "no password at all") not in str(away.value)
    await state.aclose()


async def test_a_cancelled_call_leaves_the_connections_usable(state: State, request_week: Build, now: datetime) -> None:
    request = request_week()
    for _ in range(20):
        call = asyncio.ensure_future(state.open_run(request, now))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert (await state.open_run(request, now)).status is RunStatus.STARTED


def _set_revision(target: Any, revision: str) -> None:
    engine, naming = open_engine(target.url, credential=None, schema=None, prefix=target.prefix, connections=1)
    name = naming.version_table if naming.schema is None else f"{naming.schema}.{naming.version_table}"
    with engine.begin() as connection:
        connection.execute(sql(f"UPDATE {name} SET version_num = '{revision}'"))
    engine.dispose()


async def test_every_error_of_the_tables_is_ours(state: State, request_week: Build, now: datetime) -> None:
    with pytest.raises(StateError):
        await state.start_stage("r" * 500, Stage.LOAD, now)

"""Bringing tables to this release's form, alone and with others at it, on every database."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from alembic import command
from sqlalchemy import insert

from libs.common.messages import WeekRequested
from libs.common.state import Failure, RunStatus, Stage, StageStatus, migrate
from libs.common.state.engine import open_engine
from libs.common.state.revisions import head_revision
from libs.common.state.sqlite import WRITES
from libs.common.state.tables import define_tables
from libs.common.state.upgrade import alembic_config

MIGRATORS = 4
WEEK = {"batch_week_start": date(2024, 1, 1), "batch_week_end": date(2024, 1, 7)}


@pytest.fixture
def fresh(target: Any) -> Iterator[Any]:
    """A set of tables of its own, not made yet."""
    made = replace(target, prefix=f"{target.prefix}m_")
    yield made
    made.drop()


@pytest.fixture
def first_release(fresh: Any, pipeline: str, now: datetime) -> Any:
    """Tables as the first release made them, with a week that is being run."""
    engine, naming = open_engine(fresh.url, credential=None, schema=None, prefix=fresh.prefix, connections=1)
    tables = define_tables(naming)
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        command.upgrade(alembic_config(naming, connection=connection), "0001")
        connection.execute(
            insert(tables.run).values(
                **WEEK,
                run_id="run",
                pipeline_name=pipeline,
                status="STARTED",
                requested_by="somebody",
                requested_at_utc=now,
                correlation_id="correlation",
                dry_run=False,
                started_at_utc=now,
                active_since_utc=now,
                moved_checkpoint=False,
                changed_by="first release",
            )
        )
        connection.execute(
            insert(tables.stage).values(
                run_id="run",
                stage_name="LOAD",
                status="RUNNING",
                attempts=1,
                started_at_utc=now,
                published=False,
                revision=1,
            )
        )
    engine.dispose()
    return fresh


async def test_tables_of_the_first_release_are_upgraded_with_what_is_in_them(
    first_release: Any, pipeline: str, request_week: Callable[..., WeekRequested], now: datetime
) -> None:
    assert migrate(first_release.url, prefix=first_release.prefix) == ("0001", head_revision())
    assert migrate(first_release.url, prefix=first_release.prefix) == (head_revision(), head_revision())

    state = first_release.open()
    await state.ping()
    assert (await state.start_stage("run", Stage.LOAD, datetime(2024, 1, 8, tzinfo=UTC))).attempts == 2
    assert await state.end_run("run", RunStatus.FAILED, now, Failure("broken", "It broke.", "Mend it."))
    assert await state.mark_told("run", now)
    assert [stage.status for stage in await state.stages("run")] == [StageStatus.FAILED]
    assert (await state.open_run(request_week(), now)).pipeline_name == pipeline
    await state.aclose()


async def test_migrations_that_start_together_end_alike(fresh: Any) -> None:
    assert await _migrate_together(fresh) == [head_revision()] * MIGRATORS


async def test_migrations_of_an_older_release_that_start_together_end_alike(first_release: Any) -> None:
    assert await _migrate_together(first_release) == [head_revision()] * MIGRATORS


async def _migrate_together(target: Any) -> list[str]:
    code = (
        "import os, sys; from libs.common.state import migrate, upgrade; "
        "print('ready', flush=True); sys.stdin.readline(); "
        "print(migrate(os.environ['STATE_URL'], prefix=sys.argv[1])[1])"
    )
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            target.prefix,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"STATE_URL": target.url},
        )
        for _ in range(MIGRATORS)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0] * MIGRATORS
    return [output.decode().strip() for output, _ in outputs]

"""Every statement that the tables are asked, as SQL Server would read it.

Where no server is named this is all that is known about that half: the statements of one pass through every operation
are compiled for the driver's dialect and read by two parsers of T-SQL.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlfluff
import sqlglot
from sqlalchemy import ClauseElement, Engine, event
from sqlalchemy.dialects.mssql.pyodbc import dialect as mssql_dialect

from libs.common.messages import WeekRequested
from libs.common.state import Failure, RunStatus, Stage, StageStatus, State, migrate, open_state

DIALECT = mssql_dialect(paramstyle="qmark")  # type: ignore[no-untyped-call]  # SQLAlchemy's gap
FAILURE = Failure("broken", "It broke.", "Mend it.")


@pytest.fixture
async def statements(tmp_path: Path, request_week: Callable[..., WeekRequested], now: datetime) -> list[str]:
    """What a pass through all operations, with both ends of every branch, asks."""
    url = f"sqlite:///{tmp_path}/state.db"
    migrate(url)
    asked: dict[str, None] = {}

    def record(_connection: Any, clause: Any, *_rest: Any) -> None:
        if isinstance(clause, ClauseElement):
            compiled = clause.compile(
                dialect=DIALECT,
                schema_translate_map={None: "dbo"},
                render_schema_translate=True,
                compile_kwargs={"render_postcompile": True},
            )
            asked[str(compiled)] = None
            # The driver would have to ask the server for the type of each parameter without a value.
            assert None not in compiled.params.values(), compiled

    state = open_state(url)
    event.listen(Engine, "before_execute", record)
    try:
        used = await _use_everything(state, request_week, now)
    finally:
        event.remove(Engine, "before_execute", record)
        await state.aclose()
    operations = {
        name for name, _ in inspect.getmembers(State, inspect.iscoroutinefunction) if not name.startswith("_")
    }
    assert used == operations - {"aclose"}
    return list(asked)


async def _use_everything(state: State, request_week: Callable[..., WeekRequested], now: datetime) -> set[str]:
    used = set()

    async def use(operation: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        used.add(operation.__name__)
        return await operation(*arguments, **named)

    first, forced, refused = request_week(), request_week(force=True), request_week()
    await use(state.ping)
    await use(state.refuse_run, refused, FAILURE, now)
    for request in (first, first, forced):
        run, passing = request.run_id, {"status": RunStatus.SUCCESS, "rows_output": 1, "rows_rejected": 0}
        await use(state.open_run, request, now)
        await use(state.start_stage, run, Stage.EXTRACT, now)
        await use(state.start_stage, run, Stage.EXTRACT, now)
        await use(state.set_parts_total, run, 1)
        await use(state.record_part, run, Stage.EXTRACT, 0, now, row_count=1)
        await use(state.update_part, run, Stage.EXTRACT, 0, 1, details={}, row_count=2, rejected_count=1, outgoing="{}")
        await use(state.mark_part_published, run, Stage.EXTRACT, 0)
        await use(state.finish_stage, run, Stage.EXTRACT, StageStatus.SUCCESS, now, row_count=1, details={"a": 1})
        await use(state.mark_stage_published, run, Stage.EXTRACT)
        await use(state.add_run_counts, run, rows_fetched=1)
        await use(state.end_run, run, RunStatus.FAILED, now, FAILURE, Stage.LOAD)
        await use(state.reopen_run, run, now)
        await use(state.complete_gate, run, now, reject_rate_pct=Decimal(0), rows_fetched=1, **passing)
        await use(state.end_run, run, RunStatus.FAILED, now, FAILURE, Stage.SALESFORCE_SYNC)
    await use(state.get_run, first.run_id)
    await use(state.runs, first.pipeline_name, first.week)
    await use(state.successful_run, first.pipeline_name, first.week)
    await use(state.active_runs, first.pipeline_name)
    await use(state.due_runs, now, 1)
    await use(state.untold_runs, now, 1)
    await use(state.mark_told, refused.run_id, now)
    await use(state.mark_told, refused.run_id, now)
    await use(state.get_stage, first.run_id, Stage.LOAD)
    await use(state.stages, first.run_id)
    await use(state.get_part, first.run_id, Stage.EXTRACT, 0)
    await use(state.parts, first.run_id, Stage.EXTRACT, 0, 1)
    await use(state.part_totals, first.run_id, Stage.EXTRACT)
    await use(state.checkpoint, first.pipeline_name)
    await use(state.advance_checkpoint, first.pipeline_name, first.week.next(), now)
    return used


async def test_two_parsers_read_every_statement_as_tsql(
    statements: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="sqlglot")
    kinds = [type(sqlglot.parse_one(statement, read="tsql")).__name__ for statement in statements]
    assert set(kinds) == {"Select", "Insert", "Update"}
    assert caplog.records == []  # sqlglot only warns where it gives up on a statement's inside

    script = ";\n".join(re.sub(r"\?", "@p", statement) for statement in statements) + ";\n"
    sqlfluff.parse(script, dialect="tsql")


async def test_every_statement_names_the_schema_and_nothing_unportable(statements: list[str]) -> None:
    unportable = (
        r"(?i)\b(LIMIT|MERGE|HOLDLOCK|UPDLOCK|ROWLOCK|READPAST|NOLOCK|OUTPUT|WITH \(|IS [01]\b|OPENJSON|TRUE|FALSE)\b"
    )

    assert all(re.search(r"\bdbo\.pipeline_(run|stage|part|checkpoint|schema_version)\b", s) for s in statements)
    assert [s for s in statements if re.search(unportable, s)] == []


async def test_every_update_is_bound_to_a_key(statements: list[str]) -> None:
    updates = [" ".join(s.split()) for s in statements if s.startswith("UPDATE")]
    assert updates
    for update in updates:
        assert re.search(r"\.(run_id|pipeline_name) = \?", update.split(" WHERE ", 1)[1]), update

"""A database that sees no difference in case, as most collations of SQL Server."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from libs.common.messages import WeekRequested
from libs.common.state import StateConflictError, migrate, open_state

NOW = datetime(2024, 1, 8, tzinfo=UTC)


def _request(run_id: str, start: date) -> WeekRequested:
    return WeekRequested(
        run_id=run_id,
        pipeline_name="pipeline",
        week_start=start,
        week_end=date.fromordinal(start.toordinal() + 6),
        correlation_id="correlation",
        requested_by="somebody",
        requested_at=NOW,
    )


async def test_a_run_is_never_taken_for_another_whose_id_differs_in_case(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    migrate(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'pipeline_run'").scalar_one()
        connection.exec_driver_sql("DROP TABLE pipeline_run")
        connection.exec_driver_sql(made.replace("run_id VARCHAR(128)", "run_id VARCHAR(128) COLLATE NOCASE"))
    engine.dispose()
    state = open_state(url)
    await state.open_run(_request("run-a", date(2024, 1, 1)), NOW)

    with pytest.raises(StateConflictError, match="'RUN-A' for 'run-a'"):
        await state.open_run(_request("RUN-A", date(2024, 1, 8)), NOW)

    assert (await state.open_run(_request("run-a", date(2024, 1, 1)), NOW)).run_id == "run-a"
    await state.aclose()

"""The embedded database: its file, and two writers at it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url

from libs.common.state import Stage, StateBusyError, StateUrlError, migrate, migrate_if_embedded, open_state
from libs.common.state.engine import is_embedded
from libs.common.state.sqlite import WRITES, sqlite_engine

NOW = datetime(2024, 1, 8, tzinfo=UTC)


async def test_the_files_folder_is_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/not/there/yet/state.db"

    migrate_if_embedded(url)
    state = open_state(url)
    await state.ping()
    await state.aclose()

    assert (tmp_path / "not/there/yet/state.db").is_file()


def test_a_servers_tables_are_not_migrated_at_the_start_of_a_service() -> None:
    migrate_if_embedded("mssql+pyodbc://nobody:nothing@127.0.0.1:1/none")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:state?mode=memory&uri=true"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StateUrlError, match="names no file"):
        open_state(url)


@pytest.mark.parametrize("url", ["", "nonsense", "postgresql://u:secret@h/d", "mssql+pymssql://u:secret@h/d"])
def test_other_urls_are_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(StateUrlError) as refused:
        is_embedded(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("prefix", ["a-b", "1st", "x; DROP TABLE y", "x" * 42])
def test_a_prefix_is_a_plain_name(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(StateUrlError):
        open_state(f"sqlite:///{tmp_path}/state.db", prefix=prefix)


def test_a_schema_is_for_servers(tmp_path: Path) -> None:
    with pytest.raises(StateUrlError, match="prefix"):
        open_state(f"sqlite:///{tmp_path}/state.db", schema="other")


async def test_readers_go_on_while_somebody_writes_and_other_writers_wait_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    migrate(url)
    holder = sqlite_engine(make_url(url), connections=1)
    monkeypatch.setattr("libs.common.state.sqlite.BUSY_TIMEOUT_SEC", 0.01)
    state = open_state(url, patience_sec=0)

    with holder.execution_options(**{WRITES: True}).begin():
        assert await state.checkpoint("any") is None
        with pytest.raises(StateBusyError):
            await state.start_stage("run", Stage.LOAD, NOW)
    holder.dispose()

    assert (await state.start_stage("run", Stage.LOAD, NOW)).attempts == 1
    await state.aclose()

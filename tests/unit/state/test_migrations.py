"""The migrations make what `tables` defines, on both dialects, and the DBA's scripts are what they would do."""

from __future__ import annotations

import logging
import re
import string
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import sqlfluff
import sqlglot
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.dialects import mssql
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from libs.common.state import StateError, StatePermissionError, migrate, scripts, upgrade
from libs.common.state.engine import open_engine
from libs.common.state.revisions import head_revision, revisions
from libs.common.state.tables import Naming, define_tables
from libs.common.state.upgrade import alembic_config

SCRIPTS = Path(__file__).parents[3] / "deploy/sql/state"


def _plain(sql: str) -> str:
    return re.sub(r"\s+", " ", sql).replace("( ", "(").replace(" )", ")").strip().rstrip(";")


def test_the_migrated_file_is_what_the_tables_define(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/migrated.db", prefix="p_")
    defined = create_engine(f"sqlite:///{tmp_path}/defined.db")
    define_tables(Naming(prefix="p_")).metadata.create_all(defined)
    migrated = create_engine(f"sqlite:///{tmp_path}/migrated.db")

    def described(engine: Any) -> list[Any]:
        """All columns with type and nullability, whatever their order, keys, and indexes with their conditions."""
        with engine.connect() as connection:
            columns = connection.exec_driver_sql(
                'SELECT t.name, c.name, c.type, c."notnull", c.dflt_value, c.pk '
                "FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'"
            ).all()
            indexes = connection.exec_driver_sql(
                "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            )
            return sorted(map(tuple, columns)) + sorted(_plain(sql) for (sql,) in indexes)

    assert described(migrated) == described(defined)
    migrated.dispose()
    defined.dispose()


def test_the_script_is_what_the_tables_define() -> None:
    tables = define_tables(Naming("dbo"))
    dialect = mssql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's gap
    created: list[CreateTable | CreateIndex] = []
    for table in tables.metadata.tables.values():
        created += [CreateTable(table), *(CreateIndex(index) for index in table.indexes)]
    wanted = [_plain(str(statement.compile(dialect=dialect))) for statement in created]
    rendered = _with_added_columns(_plain("\n".join(scripts.render_scripts().values())))

    assert [statement for statement in wanted if statement not in rendered] == []


def test_the_checked_in_scripts_are_current() -> None:
    current = {path.name: path.read_text("utf-8") for path in SCRIPTS.glob("[0-9]*.sql")}

    assert current == scripts.render_scripts(), "render them: python -m libs.common.state.scripts deploy/sql/state"


def test_the_renderer_writes_the_files_and_wants_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scripts.main([str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(scripts.render_scripts())
    assert scripts.main([]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.sql")), ids=lambda path: path.name)
def test_sqlfluff_reads_the_scripts(path: Path) -> None:
    sqlfluff.parse(path.read_text("utf-8"), dialect="tsql")


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.sql*")), ids=lambda path: path.name)
def test_sqlglot_reads_the_scripts(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="sqlglot")  # it warns of ALTER ROLE, which it takes as it is
    batches = re.split(r"^GO$", _filled(path.read_text("utf-8")), flags=re.MULTILINE)

    assert [statement for batch in batches for statement in sqlglot.parse(batch, read="tsql") if statement]


def test_the_grants_name_every_service_and_only_roles_that_exist() -> None:
    roles = set(re.findall(r"CREATE ROLE (\w+)", (SCRIPTS / "roles.sql").read_text("utf-8")))
    template = (SCRIPTS / "grants.sql.tmpl").read_text("utf-8")
    members = re.findall(r"ALTER ROLE (\w+) ADD MEMBER \[\$\{(\w+)_NAME\}\]", template)
    users = set(re.findall(r"CREATE USER \[\$\{(\w+)_NAME\}\]", template))

    assert {role for role, _ in members} == roles
    assert {user for _, user in members} == users
    assert users >= {"EXTRACTOR", "VALIDATOR", "LOADER", "GATE", "SF_SYNC"}
    assert {user for role, user in members if role == "retl_checkpoint_mover"} == {"EXTRACTOR", "GATE"}
    assert {user for role, user in members if role == "retl_run_opener"} == {"EXTRACTOR"}


def test_nobody_may_delete_and_every_table_may_be_read() -> None:
    text = (SCRIPTS / "roles.sql").read_text("utf-8")
    tables = define_tables(Naming("dbo")).metadata.tables

    assert not re.search(r"(?i)\bDELETE\b(?!s)|\bCONTROL\b|db_owner TO", re.sub("--.*", "", text))
    assert set(re.findall(r"GRANT SELECT ON OBJECT::([\w.]+) TO retl_reader", text)) == set(tables)


def test_the_files_are_named_after_the_revisions_that_alembic_finds_in_them() -> None:
    steps = ScriptDirectory.from_config(alembic_config(Naming())).walk_revisions()
    assert tuple(reversed([step.revision for step in steps])) == revisions()


def test_a_service_whose_tables_are_current_does_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    migrate(url)
    look = (
        "import sys; from libs.common.state import migrate, open_state; "
        "print(migrate(sys.argv[1]), 'alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", look, url], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{(head_revision(), head_revision())} False"


def test_a_prefix_reaches_every_name(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/state.db", prefix="a_")
    migrate(f"sqlite:///{tmp_path}/state.db", prefix="b_")
    engine = create_engine(f"sqlite:///{tmp_path}/state.db")

    names = inspect(engine).get_table_names()

    assert sorted(names) == sorted(f"{p}{t}" for p in ("a_", "b_") for t in define_tables(Naming()).metadata.tables)
    engine.dispose()


@pytest.mark.parametrize(
    "failure",
    [
        OperationalError("CREATE TABLE", {}, Exception("42S01", "[42S01] There is already an object. (2714) (SQLX)")),
        CommandError("Online migration expected to match one row when updating, 0 found"),
    ],
)
def test_losing_the_race_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    run = command.upgrade
    failures = [failure]

    def overtaken(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        run(*arguments)

    monkeypatch.setattr(command, "upgrade", overtaken)
    monkeypatch.setattr(upgrade, "PAUSE_SEC", 0)

    assert migrate(f"sqlite:///{tmp_path}/state.db") == (None, head_revision())


def test_a_revision_that_another_moved_on_meanwhile_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, naming = open_engine(
        f"sqlite:///{tmp_path}/state.db", credential=None, schema=None, prefix="", connections=1
    )
    upgrade.upgrade(engine, naming)
    current, outdated = upgrade._current, ["0001"]
    steps: list[str] = []
    monkeypatch.setattr(upgrade, "_current", lambda *given: outdated.pop() if outdated else current(*given))
    monkeypatch.setattr(command, "upgrade", lambda _config, revision: steps.append(revision))
    monkeypatch.setattr(upgrade, "PAUSE_SEC", 0)

    assert upgrade.upgrade(engine, naming) == (head_revision(), head_revision())
    assert steps == []
    engine.dispose()


def test_a_server_that_does_not_count_rows_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DefaultExecutionContext, "rowcount", property(lambda _context: -1))
    monkeypatch.setattr(upgrade, "ATTEMPTS", 1)

    assert migrate(f"sqlite:///{tmp_path}/state.db") == (None, head_revision())


@pytest.mark.parametrize(
    ("text", "expected", "tries"),
    [
        ("[42000] CREATE TABLE permission denied. (262) (SQLX)", StatePermissionError, 1),
        ("[HY000] Nobody knows. (31337) (SQLX)", StateError, 6),
    ],
)
def test_what_is_no_race_ends_the_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: type[StateError], tries: int
) -> None:
    seen: list[Connection] = []

    def refuse(config: Any, _revision: str) -> None:
        seen.append(config.attributes["connection"])
        raise OperationalError("CREATE TABLE", {}, Exception("42000", text))

    monkeypatch.setattr(command, "upgrade", refuse)
    monkeypatch.setattr(upgrade, "PAUSE_SEC", 0)

    with pytest.raises(expected) as refused:
        migrate(f"sqlite:///{tmp_path}/state.db")

    assert type(refused.value) is expected
    assert len(seen) == tries


def _with_added_columns(script: str) -> str:
    """Each table as if it had been created with the columns that were added to it, behind those that it had."""
    for table, column in re.findall(r"ALTER TABLE (\S+) ADD (.+?);", script):
        script = re.sub(
            rf"(CREATE TABLE {re.escape(table)} \(.*?)(, (?:CONSTRAINT|PRIMARY KEY))",
            rf"\1, {column}\2",
            script,
            count=1,
        )
    return script


def _filled(template: str) -> str:
    """Placeholders replaced by what an operator would put there."""
    names = set(re.findall(r"\$\{(\w+)\}", template))
    sid = f"0x{uuid.UUID(int=7).bytes_le.hex()}"
    return string.Template(template).substitute(
        {name: sid if name.endswith("_SID") else f"id-{name.lower()}" for name in names}
    )

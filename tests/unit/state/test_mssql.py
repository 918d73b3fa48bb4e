"""Connections to SQL Server, with a driver that only takes notes."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from sqlalchemy import make_url

from libs.common.state import StateDriverError, StateUnavailableError, open_state
from libs.common.state.entra import default_credential
from libs.common.state.mssql import connector, load_pyodbc, mssql_engine

BROKEN = ("08S01", "[08S01] TCP Provider: Error code 0x68 (104) (SQLExecDirectW)")
UNKNOWN = ("42000", "[42000] SET LOCK_TIMEOUT is not supported. (33557097) (SQLExecDirectW)")


class Notes(ModuleType):
    """In place of pyodbc: one object is module, connection and cursor, and notes what is asked of it."""

    version = "5.5.0"
    paramstyle = "qmark"
    Error = RuntimeError
    Cursor = object

    def __init__(self, *, refuse: str = "", refusal: tuple[str, str] = BROKEN) -> None:
        super().__init__("pyodbc")
        self.calls: list[tuple[Any, ...]] = []
        self.timeout = 0
        self._refuse = refuse
        self._refusal = refusal

    def drivers(self) -> list[str]:
        return ["ODBC Driver 18 for SQL Server"]

    def connect(self, text: str, **options: Any) -> Notes:
        self.calls.append(("connect", text, options))
        if self._refuse == "connect":
            raise self.Error("08001", "[08001] TCP Provider: Error code 0x2749 (0) (SQLDriverConnect)")
        return self

    def execute(self, statement: str) -> Notes:
        self.calls.append(("execute", statement))
        if self._refuse and self._refuse in statement:
            raise self.Error(*self._refusal)
        return self

    def commit(self) -> None:
        self.calls.append(("commit",))

    def rollback(self) -> None:
        self.calls.append(("rollback",))

    def close(self) -> None:
        self.calls.append(("close",))


def test_every_connection_has_time_outs_and_a_token_of_its_moment() -> None:
    notes = Notes()
    tokens = iter([{1256: b"first"}, {1256: b"second"}])
    connect = connector(notes, "Server=h", lambda: next(tokens))

    assert connect() is notes
    connect()

    sent = [call[2] for call in notes.calls if call[0] == "connect"]
    assert [options["attrs_before"] for options in sent] == [{1256: b"first"}, {1256: b"second"}]
    assert {options["timeout"] for options in sent} == {15}
    assert notes.timeout == 30
    assert ("execute", "SET LOCK_TIMEOUT 10000") in notes.calls
    assert notes.calls.index(("commit",)) > notes.calls.index(("execute", "SET LOCK_TIMEOUT 10000"))


def test_a_connection_that_cannot_be_prepared_is_closed() -> None:
    notes = Notes(refuse="LOCK_TIMEOUT")

    with pytest.raises(RuntimeError):
        connector(notes, "Server=h", dict)()

    assert notes.calls[-1] == ("close",)


def test_an_option_that_the_server_does_not_have_is_done_without() -> None:
    notes = Notes(refuse="LOCK_TIMEOUT", refusal=UNKNOWN)

    assert connector(notes, "Server=h", dict)() is notes
    assert ("rollback",) in notes.calls
    assert ("execute", "SET NOCOUNT OFF") in notes.calls


def test_the_pool_asks_before_use_and_replaces_old_connections() -> None:
    engine = mssql_engine(
        make_url("mssql+pyodbc://u:p@h/d"), credential=None, connections=3, odbc_driver=None, dbapi=Notes()
    )

    assert engine.dialect.name == "mssql"
    assert engine.pool._pre_ping
    assert 0 < engine.pool._recycle < 3600
    assert "p@" not in repr(engine.url)


class Issuer:
    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken("token", 2**40)


async def test_without_a_password_each_connection_carries_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes(refuse="connect")
    monkeypatch.setitem(sys.modules, "pyodbc", notes)
    state = open_state("mssql+pyodbc://h/d", credential=Issuer(), odbc_driver=notes.drivers()[0])

    with pytest.raises(StateUnavailableError):
        await state.ping()
    await state.aclose()

    ((_, text, options),) = notes.calls
    assert "PWD" not in text
    assert options["attrs_before"][1256].endswith("token".encode("utf-16-le"))


@pytest.mark.parametrize(("user", "options"), [(None, {}), ("0f3c", {"managed_identity_client_id": "0f3c"})])
def test_the_default_identity_is_the_containers_or_the_one_named(
    user: str | None, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, str]] = []
    monkeypatch.setattr("libs.common.state.entra.DefaultAzureCredential", lambda **given: made.append(given))

    default_credential(user)

    assert made == [options]


def test_a_missing_package_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", None)

    with pytest.raises(StateDriverError) as missing:
        open_state("mssql+pyodbc://u:p@h/d")

    assert "retl[odbc]" in missing.value.next_step


def test_a_missing_library_says_which_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str) -> ModuleType:
        raise ImportError("libodbc.so.2: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("libs.common.state.mssql.importlib.import_module", fail)

    with pytest.raises(StateDriverError, match=r"libodbc\.so\.2") as missing:
        load_pyodbc()

    assert "libodbc2" in missing.value.next_step


def test_the_drivers_own_pool_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", Notes())

    assert load_pyodbc().pooling is False

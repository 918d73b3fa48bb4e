"""The connection string, and the search for the driver."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from libs.common.state import StateDriverError, StateUrlError
from libs.common.state.odbc import find_driver, odbc_target, wanted_driver

NAME = "ODBC Driver 18 for SQL Server"


def _text(url: str | URL) -> str:
    return odbc_target(make_url(url), "D").connection_string


def test_a_password_signs_in_without_a_token() -> None:
    target = odbc_target(make_url("mssql+pyodbc://someone:secret@db.example:1444/retl"), NAME)

    assert target.connection_string == (
        "Driver={ODBC Driver 18 for SQL Server};Encrypt=yes;TrustServerCertificate=no;APP=retl;"
        "Server=tcp:db.example,1444;Database=retl;UID=someone;PWD=secret"
    )
    assert not target.needs_token


def test_without_a_password_a_token_is_needed_and_no_user_is_sent() -> None:
    target = odbc_target(make_url("mssql+pyodbc://db.example/retl"), NAME)

    assert target.needs_token
    assert target.managed_identity is None
    assert "UID" not in target.connection_string
    assert "Trusted_Connection" not in target.connection_string


def test_a_user_without_a_password_is_a_managed_identity() -> None:
    target = odbc_target(make_url("mssql+pyodbc://0f3c@db.example/retl"), NAME)

    assert (target.needs_token, target.managed_identity) == (True, "0f3c")
    assert "0f3c" not in target.connection_string


@pytest.mark.parametrize("query", ["Trusted_Connection=yes", "authentication=ActiveDirectoryMsi"])
def test_other_ways_to_sign_in_are_left_to_the_driver(query: str) -> None:
    target = odbc_target(make_url(f"mssql+pyodbc://db.example/retl?{query}"), NAME)

    assert not target.needs_token
    assert query in target.connection_string


def test_keywords_of_the_url_win_over_the_defaults_in_any_case() -> None:
    text = _text("mssql+pyodbc://u:p@h/d?encrypt=strict&TRUSTSERVERCERTIFICATE=yes&HostNameInCertificate=x.example")

    assert "encrypt=strict" in text
    assert "Encrypt=yes" not in text
    assert "TrustServerCertificate=no" not in text
    assert text.endswith("HostNameInCertificate=x.example")


def test_a_value_cannot_break_out_of_its_keyword() -> None:
    url = URL.create("mssql+pyodbc", "u", "p;w}d=1;Encrypt=no", "h", database="d")

    assert "PWD={p;w}}d=1;Encrypt=no}" in _text(url)


def test_a_whole_connection_string_is_completed() -> None:
    url = URL.create(
        "mssql+pyodbc",
        query={"odbc_connect": "DRIVER={Other};Server=tcp:h,1433;Database=d;Uid=u;Pwd={a}}b;c};Encrypt=optional"},
    )
    target = odbc_target(url, "D")

    assert target.connection_string == (
        "Driver=D;TrustServerCertificate=no;APP=retl;Server=tcp:h,1433;Database=d;Uid=u;Pwd={a}}b;c};Encrypt=optional"
    )
    assert not target.needs_token


@pytest.mark.parametrize("url", ["mssql+pyodbc:///retl", "mssql+pyodbc://u:p@h", "mssql+pyodbc://?driver=x"])
def test_a_url_without_a_server_or_a_database_is_refused(url: str) -> None:
    with pytest.raises(StateUrlError):
        _text(url)


def test_the_connection_string_is_not_shown() -> None:
    assert "secret" not in repr(odbc_target(make_url("mssql+pyodbc://u:secret@h/d"), "D"))


def test_the_newest_registered_driver_is_taken() -> None:
    assert find_driver(None, ["ODBC Driver 17 for SQL Server", NAME]) == NAME


def test_a_driver_can_be_named_or_given_by_its_path(tmp_path: Path) -> None:
    library = tmp_path / "libmsodbcsql-18.6.so.2.1"
    library.touch()

    assert find_driver("Mine", ["Mine"]) == "Mine"
    assert find_driver(str(library), []) == str(library)


@pytest.mark.parametrize("wanted", ["Mine", "/no/such/libmsodbcsql.so", None])
def test_a_missing_driver_says_how_to_install_one(wanted: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.common.state.odbc.DRIVER_FILES", "/no/such/folder/*.so")

    with pytest.raises(StateDriverError) as missing:
        find_driver(wanted, ["Another"])

    assert "msodbcsql18" in missing.value.next_step
    assert "ODBC_DRIVER" in missing.value.next_step


def test_a_driver_in_its_usual_folder_needs_no_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "libmsodbcsql-18.4.so.1.1"
    library.touch()
    monkeypatch.setattr("libs.common.state.odbc.DRIVER_FILES", f"{tmp_path}/libmsodbcsql-18*.so*")

    assert find_driver(None, []) == str(library)


def test_the_setting_wins_over_the_url() -> None:
    url = make_url("mssql+pyodbc://h/d?driver=FromUrl")

    assert wanted_driver(url, "/from/setting.so") == "/from/setting.so"
    assert wanted_driver(url, None) == "FromUrl"
    assert wanted_driver(make_url("mssql+pyodbc://h/d"), None) is None

"""Which way to log in the settings select, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.common.settings import load_settings
from services.sf_sync.login import ClientCredentials, Grant, JwtBearer, Password, grant_of
from services.sf_sync.settings import SfSyncSettings

SECRETS = {"sf_client_secret": "hush-1", "sf_password": "hush-2", "sf_security_token": "hush-3"}


def grant(**values: object) -> Grant:
    settings = load_settings(SfSyncSettings, _env_file=None, state_url="sqlite://", lake_url="file:///l", **values)
    return grant_of(settings)


def test_an_id_and_a_secret_are_client_credentials() -> None:
    found = grant(sf_client_id="id", sf_client_secret="hush-1")
    assert isinstance(found, ClientCredentials)
    assert found.warning is None


def test_a_private_key_is_jwt_bearer() -> None:
    found = grant(sf_client_id="id", sf_username="u", sf_private_key_file=Path("key.pem"))
    assert isinstance(found, JwtBearer)
    assert found.warning is None


def test_a_password_still_works_and_is_warned_about_with_the_dates() -> None:
    found = grant(sf_username="u", sf_password="hush-2")
    assert isinstance(found, Password)
    assert found.warning is not None
    assert "20 February 2027" in found.warning
    assert "Summer '27" in found.warning


@pytest.mark.parametrize("username", [None, "u"])
def test_no_secret_shows_where_a_grant_is_printed(username: str | None) -> None:
    assert "hush" not in repr(grant(sf_client_id="id", sf_username=username, **SECRETS))

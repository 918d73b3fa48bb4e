"""What sf_sync takes for an address to log in at."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from libs.common.errors import SettingsError
from libs.common.settings import load_settings
from services.sf_sync.composition import open_session
from services.sf_sync.settings import SfSyncSettings


def settings(**values: object) -> SfSyncSettings:
    login = {"sf_client_id": "id", "sf_client_secret": "secret"}
    return load_settings(SfSyncSettings, _env_file=None, state_url="sqlite://", lake_url="file:///l", **login, **values)


@pytest.mark.parametrize("url", ["https://acme.my.salesforce.com", "http://localhost:8080", "http://127.0.0.1:8080"])
def test_an_org_is_logged_in_to_over_tls_and_an_emulator_on_this_machine_as_it_likes(url: str) -> None:
    assert settings(sf_login_url=url).login_url == url


@pytest.mark.parametrize("url", ["http://salesforce:8080", "http://acme.my.salesforce.com", "ftp://acme"])
def test_credentials_never_leave_this_machine_unencrypted(url: str) -> None:
    with pytest.raises(SettingsError, match="must begin with https"):
        settings(sf_login_url=url)


def test_an_emulator_in_a_private_network_is_allowed_by_name_of_the_setting() -> None:
    assert (
        settings(sf_login_url="http://salesforce:8080", sf_allow_plain_http=True).login_url == "http://salesforce:8080"
    )


@pytest.mark.parametrize(
    ("url", "warnings"),
    [("http://salesforce:8080", 1), ("http://127.0.0.1:8080", 0), ("https://acme.my.salesforce.com", 0)],
)
def test_the_start_warns_where_credentials_travel_unencrypted(url: str, warnings: int) -> None:
    with capture_logs() as logs:
        open_session(settings(sf_login_url=url, sf_allow_plain_http=True)).close()
    told = [log["login_url"] for log in logs if log["log_level"] == "warning"]
    assert told == [url] * warnings

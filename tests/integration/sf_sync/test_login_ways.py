"""Each way to log in carries a whole sync, with a new login after every expiry on the way."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs

from libs.common.errors import is_transient
from services.sf_sync.errors import SalesforceLimitError, SalesforceLoginError, SalesforceUnavailableError

USER = {"sf_username": "integration@retl.example"}
PASSWORD = USER | {"sf_password": 'retl<&>"demo', "sf_security_token": "retlDemoToken"}
SOAP = PASSWORD | {"sf_client_id": None, "sf_client_secret": None}
SECRETS = ("retl<&>", "retlDemoToken", "retl-demo-secret", "wrong-1", "PRIVATE KEY")
WAYS = ("client_credentials", "jwt", "oauth_password", "soap_password")


class Keys:
    """A key pair as files."""

    def __init__(self, folder: Path) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.private, self.public = folder / "private.pem", folder / "public.pem"
        self.private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def emulator(start_emulator: Callable[..., Any], keys: Keys) -> Any:
    """Lets in only who has the right key, secret or password."""
    return start_emulator("--jwt-public-key", str(keys.public), "--password", PASSWORD["sf_password"])


@pytest.fixture
def logged_in_by(bench: Any, make: Any, keys: Keys) -> Callable[..., Any]:
    """The bench with the settings of a way to log in."""
    ways: dict[str, dict[str, Any]] = {
        "client_credentials": {},
        "jwt": USER | {"sf_private_key_file": keys.private, "sf_client_secret": None},
        "oauth_password": PASSWORD,
        "soap_password": SOAP,
    }

    def choose(way: str, **changes: Any) -> Any:
        return replace(bench, settings=make.settings(bench.emulator.url, **(ways[way] | changes)))

    return choose


def logins(bench: Any, way: str) -> int:
    """Logins so far, if none was made in another way."""
    calls = {call: bench.emulator.calls(call) for call in ("token", "soap_login")}
    own = calls.pop("soap_login" if way == "soap_password" else "token")
    assert list(calls.values()) == [0]
    return int(own)


@pytest.mark.parametrize("way", WAYS)
async def test_a_sync_goes_through_with_one_login(make: Any, logged_in_by: Any, way: str) -> None:
    synced = logged_in_by(way)
    details = await synced.synced("r1", make.signals(30))
    assert (details["created"], details["failed"]) == (30, 0)
    assert len(synced.emulator.records()) == 30
    assert logins(synced, way) == 1


@pytest.mark.parametrize(("below", "status"), [(0, 401), (2000, 400)])
@pytest.mark.parametrize("way", WAYS)
async def test_every_expired_session_is_followed_by_one_login(
    make: Any, logged_in_by: Any, way: str, below: int, status: int
) -> None:
    synced = logged_in_by(way, sf_collections_below=below)
    synced.emulator.faults({"kind": "session_expired", "after_calls": 1, "status": status, "times": 2})
    details = await synced.synced("r1", make.signals(10))
    assert (details["created"], details["failed"]) == (10, 0)
    assert set(synced.emulator.attempts().values()) == {1}
    assert logins(synced, way) == 3


@pytest.mark.parametrize(
    ("way", "dates"),
    [
        ("client_credentials", []),
        ("jwt", []),
        ("oauth_password", ["20 February 2027", "Summer '27"]),
        ("soap_password", ["20 February 2027", "Summer '27"]),
    ],
)
async def test_the_log_warns_once_of_a_way_that_ends_with_its_dates_and_shows_no_secret(
    make: Any, logged_in_by: Any, way: str, dates: list[str]
) -> None:
    synced = logged_in_by(way)
    synced.emulator.faults({"kind": "session_expired", "after_calls": 2})
    with capture_logs() as logs:
        await synced.synced("r1", make.signals(3))
    told = [log for log in logs if log["event"] == "salesforce_login_retiring"]
    assert [log["log_level"] for log in told] == ["warning"] * bool(dates)
    assert all(date in log["text"] for log in told for date in dates)
    assert not [secret for secret in SECRETS if secret in repr(logs)]


@pytest.mark.parametrize(
    ("way", "wrong", "said"),
    [
        ("client_credentials", {"sf_client_secret": "wrong-1"}, "invalid_client"),
        ("oauth_password", {"sf_password": "wrong-1"}, "invalid_grant"),
        ("soap_password", {"sf_password": "wrong-1"}, "INVALID_LOGIN"),
        ("soap_password", {"sf_security_token": "wrong-1"}, "INVALID_LOGIN"),
        ("soap_password", {"sf_security_token": None}, "INVALID_LOGIN"),
    ],
)
async def test_a_wrong_secret_is_a_refused_login_that_does_not_show_it(
    make: Any, logged_in_by: Any, way: str, wrong: dict[str, Any], said: str
) -> None:
    refused = logged_in_by(way, **wrong)
    message = await refused.passed("r1", make.signals(3))
    with pytest.raises(SalesforceLoginError, match=said) as raised:
        await refused.handle(message)
    told = "".join(traceback.format_exception(raised.value))
    assert not [secret for secret in SECRETS if secret in told]


async def test_a_key_that_the_org_does_not_know_is_a_refused_login(
    make: Any, logged_in_by: Any, tmp_path: Path
) -> None:
    other = await asyncio.to_thread(Keys, tmp_path)
    refused = logged_in_by("jwt", sf_private_key_file=other.private)
    message = await refused.passed("r1", make.signals(3))
    with pytest.raises(SalesforceLoginError, match="invalid_grant"):
        await refused.handle(message)


@pytest.mark.parametrize("content", [None, "no key"])
async def test_a_key_file_that_is_missing_or_no_key_is_named_and_its_content_is_not(
    make: Any, logged_in_by: Any, tmp_path: Path, content: str | None
) -> None:
    key = tmp_path / "key.pem"
    await asyncio.to_thread(lambda: key.write_text(content) if content else None)
    refused = logged_in_by("jwt", sf_private_key_file=key)
    message = await refused.passed("r1", make.signals(3))
    with pytest.raises(SalesforceLoginError, match=r"key\.pem holds no readable RSA key") as raised:
        await refused.handle(message)
    assert "no key" not in "".join(traceback.format_exception(raised.value)).replace("no readable", "")


@pytest.mark.parametrize(
    ("way", "call", "status", "code", "error"),
    [
        ("jwt", "token", 503, "SERVER_UNAVAILABLE", SalesforceUnavailableError),
        ("jwt", "token", 400, "unknown_error: retry your request", SalesforceUnavailableError),
        ("oauth_password", "token", 429, "REQUEST_LIMIT_EXCEEDED", SalesforceUnavailableError),
        ("client_credentials", "token", 502, "BAD_GATEWAY", SalesforceUnavailableError),
        ("soap_password", "soap_login", 503, "SERVER_UNAVAILABLE", SalesforceUnavailableError),
        ("soap_password", "soap_login", 500, "SERVER_UNAVAILABLE", SalesforceUnavailableError),
        ("soap_password", "soap_login", 500, "REQUEST_LIMIT_EXCEEDED", SalesforceLimitError),
    ],
)
async def test_a_login_server_in_trouble_is_no_refused_login_and_is_tried_again_later(
    make: Any, logged_in_by: Any, way: str, call: str, status: int, code: str, error: type[Exception]
) -> None:
    synced = logged_in_by(way)
    synced.emulator.faults({"kind": "http_error", "call": call, "status": status, "code": code})
    message = await synced.passed("r1", make.signals(3))
    with pytest.raises(error) as raised:
        await synced.handle(message)
    assert is_transient(raised.value)
    await synced.handle(message)
    assert (await synced.stage("r1")).details["created"] == 3


async def test_an_org_without_password_logins_says_so(make: Any, logged_in_by: Any, start_emulator: Any) -> None:
    retired = start_emulator("--no-password-login")
    refused = logged_in_by("soap_password", sf_login_url=retired.url)
    message = await refused.passed("r1", make.signals(3))
    with pytest.raises(SalesforceLoginError, match=r"SOAP API login\(\) is disabled"):
        await refused.handle(message)

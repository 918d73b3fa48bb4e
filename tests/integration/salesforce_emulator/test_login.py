from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceExpiredSession

PASSWORD_LOGIN = {"username": "integration@retl.example", "password": "retl-demo-password"}


def test_simple_salesforce_logs_in_with_client_credentials(emulator: Any, salesforce: Callable[..., Any]) -> None:
    assert salesforce(emulator.url).limits()["DailyApiRequests"]["Max"] == 100_000


def test_simple_salesforce_logs_in_with_a_signed_assertion_and_only_with_the_right_key(
    start: Callable[..., Any], salesforce: Callable[..., Any], tmp_path: Path
) -> None:
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    public = tmp_path / "public.pem"
    public.write_bytes(
        keys[0].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    right, wrong = (
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        for key in keys
    )
    url = start("--jwt-public-key", str(public)).url
    who = {"username": "integration@retl.example", "consumer_key": "retl-demo"}
    assert salesforce(url, **who, privatekey=right).limits()
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid assertion"):
        salesforce(url, **who, privatekey=wrong)


def test_simple_salesforce_logs_in_with_user_password_and_token(emulator: Any, salesforce: Callable[..., Any]) -> None:
    assert salesforce(emulator.url, **PASSWORD_LOGIN, security_token="retlDemoToken").limits()
    with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
        salesforce(emulator.url, **PASSWORD_LOGIN, security_token="wrong")


def test_an_org_that_retired_password_logins_says_so(start: Callable[..., Any], salesforce: Callable[..., Any]) -> None:
    url = start("--no-password-login").url
    with pytest.raises(SalesforceAuthenticationFailed, match=r"SOAP API login\(\) is disabled by default in this org"):
        salesforce(url, **PASSWORD_LOGIN, security_token="retlDemoToken")


def test_the_token_answer_has_what_clients_read(emulator: Any) -> None:
    form = {"grant_type": "client_credentials", "client_id": "retl-demo", "client_secret": "retl-demo-secret"}
    body = requests.post(f"{emulator.url}/services/oauth2/token", data=form, timeout=5).json()
    assert body["instance_url"] == emulator.url
    assert body["token_type"] == "Bearer"
    assert body["id"].startswith(f"{emulator.url}/id/00D")
    assert int(body["issued_at"]) > 1_600_000_000_000


def test_clients_are_told_the_public_address(start: Callable[..., Any]) -> None:
    process = start("--public-url", "http://salesforce.test:8080/", "--client-secret", "other")
    assert process.url == "http://salesforce.test:8080/"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "x"}, "invalid_client_id"),
        ({"grant_type": "client_credentials", "client_id": "retl-demo", "client_secret": "x"}, "invalid_client"),
        ({"grant_type": "telepathy"}, "unsupported_grant_type"),
        ({}, "unsupported_grant_type"),
    ],
)
def test_a_refused_login_is_answered_in_oauths_form(emulator: Any, form: dict[str, str], error: str) -> None:
    answer = requests.post(f"{emulator.url}/services/oauth2/token", data=form, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_session_ends_with_its_time(start: Callable[..., Any], salesforce: Callable[..., Any]) -> None:
    org = salesforce(start("--token-ttl-sec", "0").url)
    with pytest.raises(SalesforceExpiredSession, match="INVALID_SESSION_ID"):
        org.limits()


def test_a_call_without_a_session_is_refused(emulator: Any) -> None:
    answer = requests.get(f"{emulator.url}/services/data/v59.0/limits", timeout=5)
    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from libs.emulators.salesforce.auth import Authenticator, Credentials, LoginRefused
from libs.emulators.salesforce.errors import ApiError
from libs.emulators.salesforce.jwt import load_public_key

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CREDENTIALS = Credentials(
    client_id="id",
    client_secret="secret",
    username="u",
    password="p",
    security_token="t",
    jwt_public_key=KEY.public_key(),
)
NOW = 1_000_000.0


def authenticator(org: Any, credentials: Credentials = CREDENTIALS, now: float = NOW) -> Authenticator:
    return Authenticator(credentials, org.database, token_ttl_sec=60, clock=lambda: now)


def assertion(key: rsa.RSAPrivateKey = KEY, **claims: Any) -> str:
    payload = {"iss": "id", "sub": "u", "aud": "https://login.salesforce.com", "exp": str(int(NOW) + 180)} | claims
    return jwt.encode(payload, key, algorithm="RS256")


def test_a_session_is_valid_until_it_expires_also_after_a_restart(org: Any) -> None:
    token = authenticator(org).client_credentials("id", "secret")
    authenticator(org, now=NOW + 59).check(token)
    with pytest.raises(ApiError, match="401 INVALID_SESSION_ID"):
        authenticator(org, now=NOW + 60).check(token)


@pytest.mark.parametrize(("status", "code"), [(401, "INVALID_SESSION_ID"), (400, "InvalidSessionId")])
def test_ended_sessions_are_refused_in_both_ways_that_salesforce_has(org: Any, status: int, code: str) -> None:
    auth = authenticator(org)
    token = auth.client_credentials("id", "secret")
    auth.end_sessions(refuse_with=status)
    with pytest.raises(ApiError) as refused:
        auth.check(token)
    assert (refused.value.status, refused.value.code) == (status, code)
    auth.check(auth.client_credentials("id", "secret"))


@pytest.mark.parametrize(("given", "error"), [(("x", "secret"), "invalid_client_id"), (("id", "x"), "invalid_client:")])
def test_wrong_client_credentials_are_refused(org: Any, given: tuple[str, str], error: str) -> None:
    with pytest.raises(LoginRefused, match=error):
        authenticator(org).client_credentials(*given)


def test_a_signed_assertion_logs_in(org: Any) -> None:
    auth = authenticator(org)
    auth.check(auth.jwt_bearer(assertion(), ()))
    auth.check(auth.jwt_bearer(assertion(aud="http://127.0.0.1:1"), ("http://127.0.0.1:1",)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "invalid assertion"),
        ("a.b.c", "invalid assertion"),
        (assertion(OTHER_KEY), "invalid assertion"),
        (assertion()[:-6] + "AAAAAA", "invalid assertion"),
        (jwt.encode({"iss": "id"}, "s" * 32, algorithm="HS256"), "invalid assertion"),
        (assertion(iss="other"), "client identifier invalid"),
        (assertion(sub="other"), "user hasn't approved this consumer"),
        (assertion(aud="https://example.com"), "audience is invalid"),
        (assertion(exp=int(NOW)), "assertion expired"),
    ],
)
def test_a_faulty_assertion_is_refused_with_its_reason(org: Any, text: str, reason: str) -> None:
    with pytest.raises(LoginRefused, match=reason):
        authenticator(org).jwt_bearer(text, ())


def test_without_a_public_key_the_signature_is_not_looked_at(org: Any) -> None:
    assert authenticator(org, replace(CREDENTIALS, jwt_public_key=None)).jwt_bearer(assertion(OTHER_KEY), ())


def test_soap_login_wants_the_security_token_behind_the_password(org: Any) -> None:
    auth = authenticator(org)
    auth.check(auth.soap_login("u", "pt", 59.0))
    with pytest.raises(LoginRefused, match="INVALID_LOGIN"):
        auth.soap_login("u", "p", 59.0)
    with pytest.raises(LoginRefused, match="UNSUPPORTED_API_VERSION"):
        auth.soap_login("u", "pt", 65.0)


def test_an_org_that_retired_password_logins_refuses_both(org: Any) -> None:
    auth = authenticator(org, replace(CREDENTIALS, password_login=False))
    with pytest.raises(LoginRefused, match=r"SOAP API login\(\) is disabled"):
        auth.soap_login("u", "pt", 59.0)
    with pytest.raises(LoginRefused, match="unsupported_grant_type"):
        auth.oauth_password("id", "secret", "u", "p")


def test_the_password_grant_takes_the_password_with_or_without_the_token(org: Any) -> None:
    auth = authenticator(org)
    auth.check(auth.oauth_password("id", "secret", "u", "p"))
    auth.check(auth.oauth_password("id", "secret", "u", "pt"))
    with pytest.raises(LoginRefused, match="authentication failure"):
        auth.oauth_password("id", "secret", "u", "x")


def test_a_key_file_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("no key")
    with pytest.raises(ValueError, match=r"key\.pem"):
        load_public_key(path)
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    path.write_bytes(elliptic.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(ValueError, match="not an RSA key"):
        load_public_key(path)

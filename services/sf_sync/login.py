"""The three ways to log in, all through simple-salesforce's own functions, and what a refusal means."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import jwt
import requests
from simple_salesforce.exceptions import SalesforceAuthenticationFailed
from simple_salesforce.login import SalesforceLogin, token_login

from libs.common.errors import RetlError
from services.sf_sync.errors import SalesforceLimitError, SalesforceLoginError, SalesforceUnavailableError
from services.sf_sync.settings import SfSyncSettings
from services.sf_sync.transport import TRANSIENT_STATUS

PASSWORD_RETIREMENT: Final = (
    "Logging in with SF_PASSWORD is being retired by Salesforce: the OAuth password flow is enforced off from "
    "20 February 2027 (orgs created since Summer '26 never had it) and SOAP login() ends with Summer '27. "
    "Move to client credentials (SF_CLIENT_ID, SF_CLIENT_SECRET) or JWT bearer (SF_PRIVATE_KEY_FILE)."
)
_LAST_SOAP_LOGIN_VERSION: Final = 64
_ASSERTION_LIFE_SEC: Final = 180  # Salesforce accepts at most 3 minutes
# Refusals of the moment, by SOAP's exception code or OAuth's error or description.
_PASSING: Final = (
    "SERVER_UNAVAILABLE",
    "API_CURRENTLY_DISABLED",
    "server_error",
    "temporarily_unavailable",
    "retry your request",
    "login rate exceeded",
)


class Grant(Protocol):
    """A way to get a session id."""

    @property
    def warning(self) -> str | None:
        """What the operator should know about this way, if anything."""

    def login(self, http: requests.Session, login_url: str) -> tuple[str, str]:
        """Return (session id, instance host[:port]). Blocks; raises the library's or requests' exceptions."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth client credentials: no user's password, no key file; needs the org's My Domain as login URL."""

    client_id: str
    client_secret: str = field(repr=False)
    warning: str | None = None

    def login(self, http: requests.Session, login_url: str) -> tuple[str, str]:
        """See `Grant.login`."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        return _token(http, login_url, form, self.client_id)


@dataclass(frozen=True, slots=True)
class JwtBearer:
    """OAuth JWT bearer: signed with the key whose certificate the app holds."""

    client_id: str
    username: str
    private_key_file: Path
    warning: str | None = None

    def login(self, http: requests.Session, login_url: str) -> tuple[str, str]:
        """See `Grant.login`. Raises SalesforceLoginError if the key cannot be read or used."""
        parts = urlsplit(login_url)
        claims = {
            "iss": self.client_id,
            "sub": self.username,
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": int(time.time()) + _ASSERTION_LIFE_SEC,
        }
        try:
            assertion = jwt.encode(claims, self.private_key_file.read_bytes(), algorithm="RS256")
        except (OSError, ValueError, TypeError, jwt.PyJWTError) as error:
            # The error's own text may quote the key.
            raise SalesforceLoginError(
                f"SF_PRIVATE_KEY_FILE {self.private_key_file} holds no readable RSA key ({type(error).__name__})."
            ) from None
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        return _token(http, login_url, form, self.client_id)


@dataclass(frozen=True, slots=True)
class Password:
    """User, password and security token, by OAuth if the app's id and secret are given, else by SOAP login()."""

    username: str
    password: str = field(repr=False)
    security_token: str = field(repr=False)
    client_id: str | None
    client_secret: str | None = field(repr=False)
    api_version: str
    warning: str | None = PASSWORD_RETIREMENT

    def login(self, http: requests.Session, login_url: str) -> tuple[str, str]:
        """See `Grant.login`."""
        if self.client_id and self.client_secret:
            form = {
                "grant_type": "password",
                "client_id": self.client_id,
                "client_secret": self.client_secret,
                "username": self.username,
                "password": self.password + self.security_token,
            }
            return _token(http, login_url, form, self.client_id)
        version = min(float(self.api_version), float(_LAST_SOAP_LOGIN_VERSION))
        return SalesforceLogin(
            username=self.username,
            password=self.password,
            security_token=self.security_token,
            sf_version=f"{version:.1f}",
            session=_login_http(http),
            scratch_url=_as_https(login_url),
        )


def grant_of(settings: SfSyncSettings) -> Grant:
    """The way to log in that the settings select: a private key before a password before a client secret."""
    secret = settings.sf_client_secret.get_secret_value() if settings.sf_client_secret else None
    if settings.sf_private_key_file and settings.sf_client_id and settings.sf_username:
        return JwtBearer(settings.sf_client_id, settings.sf_username, settings.sf_private_key_file)
    if settings.sf_password and settings.sf_username:
        token = settings.sf_security_token.get_secret_value() if settings.sf_security_token else ""
        return Password(
            username=settings.sf_username,
            password=settings.sf_password.get_secret_value(),
            security_token=token,
            client_id=settings.sf_client_id,
            client_secret=secret,
            api_version=settings.sf_api_version,
        )
    assert settings.sf_client_id and secret  # noqa: PT018 - the settings' validator saw to it
    return ClientCredentials(settings.sf_client_id, secret)


def _token(http: requests.Session, login_url: str, form: dict[str, str], client_id: str) -> tuple[str, str]:
    url = f"{_as_https(login_url)}/services/oauth2/token"
    return token_login(url, form, urlsplit(login_url).netloc, client_id, None, None, _login_http(http))


class _LoginHttp:
    """The library's way to the login server: the library takes every answer for a word on the credentials."""

    def __init__(self, http: requests.Session) -> None:
        self._http = http

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """`Session.post`. Raises SalesforceUnavailableError where the server could not look at the credentials."""
        answer = self._http.post(*args, **kwargs)
        # A SOAP fault, a wrong password for one, comes as 500 too.
        if answer.status_code in TRANSIENT_STATUS and "exceptionCode" not in answer.text:
            raise SalesforceUnavailableError(f"The login server answered {answer.status_code}.")
        return answer


def _login_http(http: requests.Session) -> Any:
    return _LoginHttp(http)  # the library only ever posts


def refused_login(error: SalesforceAuthenticationFailed) -> RetlError:
    """The project's error for a login that was answered with a refusal."""
    said = f"Salesforce refused the login: {error.code}: {str(error.auth_message)[:500]}."
    if "REQUEST_LIMIT_EXCEEDED" in said:
        return SalesforceLimitError(said)
    if any(word in said for word in _PASSING):
        return SalesforceUnavailableError(said)
    return SalesforceLoginError(said)


def _as_https(url: str) -> str:
    """The library speaks https only; a transport mounted for the emulator's address takes it back."""
    return "https://" + url.partition("://")[2]

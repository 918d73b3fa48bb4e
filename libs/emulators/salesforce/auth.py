"""Who may log in, and the sessions (access tokens) that are valid. Sessions survive a restart."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa

from libs.emulators.salesforce.database import Database
from libs.emulators.salesforce.errors import ApiError
from libs.emulators.salesforce.jwt import InvalidAssertion, verify_assertion

ORG_ID = "00D5e000000EMULEAA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the org accepts. ``password_login`` False answers as an org where those flows have been retired."""

    client_id: str
    client_secret: str
    username: str
    password: str
    security_token: str
    jwt_public_key: rsa.RSAPublicKey | None = None
    password_login: bool = True


class LoginRefused(Exception):
    """OAuth's refusal: ``error`` and its description, for a body with status 400."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


class Authenticator:
    """Checks credentials and sessions; ``clock`` gives seconds since the epoch."""

    def __init__(
        self, credentials: Credentials, database: Database, *, token_ttl_sec: float, clock: Callable[[], float]
    ) -> None:
        self._credentials = credentials
        self._database = database
        self._token_ttl_sec = token_ttl_sec
        self._clock = clock
        self._ended: dict[str, int] = {}
        with database.reading() as connection:
            self._sessions: dict[str, float] = dict(connection.execute("SELECT token, expires_at FROM session"))

    def client_credentials(self, client_id: str, client_secret: str) -> str:
        """Log in with client id and secret; return the access token. Raises LoginRefused."""
        self._check_client(client_id, client_secret)
        return self._open_session()

    def jwt_bearer(self, assertion: str, audiences: tuple[str, ...]) -> str:
        """Log in with a signed assertion; return the access token. Raises LoginRefused."""
        try:
            verify_assertion(
                assertion,
                public_key=self._credentials.jwt_public_key,
                issuer=self._credentials.client_id,
                subject=self._credentials.username,
                audiences=audiences,
                now=self._clock(),
            )
        except InvalidAssertion as error:
            kind = "invalid_client_id" if "client identifier" in str(error) else "invalid_grant"
            raise LoginRefused(kind, str(error)) from error
        return self._open_session()

    def oauth_password(self, client_id: str, client_secret: str, username: str, password: str) -> str:
        """Log in with user name and password (the security token may follow it). Raises LoginRefused."""
        if not self._credentials.password_login:
            raise LoginRefused("unsupported_grant_type", "grant type not supported")
        self._check_client(client_id, client_secret)
        if not self._password_matches(username, password, token_required=False):
            raise LoginRefused("invalid_grant", "authentication failure")
        return self._open_session()

    def soap_login(self, username: str, password: str, api_version: float) -> str:
        """Log in as SOAP's ``login()`` does: the password is followed by the security token. Raises LoginRefused."""
        if api_version >= 65.0:
            raise LoginRefused("UNSUPPORTED_API_VERSION", "SOAP API login() is not available from API version 65.0 on.")
        if not self._credentials.password_login:
            raise LoginRefused("INVALID_OPERATION", "SOAP API login() is disabled by default in this org.")
        if not self._password_matches(username, password, token_required=True):
            raise LoginRefused("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
        return self._open_session()

    def check(self, token: str) -> None:
        """Raise ApiError unless the token names a live session."""
        expires_at = self._sessions.get(token)
        if expires_at is not None and expires_at > self._clock():
            return
        if self._ended.get(token) == 400:
            raise ApiError(400, "InvalidSessionId", "Invalid session id")
        raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")

    def end_sessions(self, *, refuse_with: int) -> None:
        """End every session; their tokens are refused with this HTTP status from now on. On the writer thread."""
        self._ended.update(dict.fromkeys(self._sessions, refuse_with))
        self._sessions.clear()
        with self._database.writing() as connection:
            connection.execute("DELETE FROM session")

    def _check_client(self, client_id: str, client_secret: str) -> None:
        if client_id != self._credentials.client_id:
            raise LoginRefused("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(client_secret.encode(), self._credentials.client_secret.encode()):
            raise LoginRefused("invalid_client", "invalid client credentials")

    def _password_matches(self, username: str, password: str, *, token_required: bool) -> bool:
        known = self._credentials
        allowed = [known.password + known.security_token] + ([] if token_required else [known.password])
        return username == known.username and any(
            hmac.compare_digest(password.encode(), one.encode()) for one in allowed
        )

    def _open_session(self) -> str:
        token = f"{ORG_ID[:15]}!{secrets.token_urlsafe(48)}"
        expires_at = self._clock() + self._token_ttl_sec
        with self._database.writing() as connection:
            connection.execute("DELETE FROM session WHERE expires_at < ?", (self._clock(),))
            connection.execute("INSERT INTO session VALUES (?, ?, ?)", (token, self._credentials.username, expires_at))
        self._sessions[token] = expires_at
        return token

"""Signing in to Azure SQL with an Entra token instead of a password."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.identity import DefaultAzureCredential

from libs.common.state.errors import StateLoginError, StateUnavailableError

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

SCOPE = "https://database.windows.net/.default"
ACCESS_TOKEN_ATTRIBUTE = 1256
"""SQL_COPT_SS_ACCESS_TOKEN of msodbcsql.h."""
RENEW_BEFORE_SEC = 300.0


class TokenSource:
    """A token for new connections, asked for again shortly before it expires. Used by several threads.

    A connection outlives the token that it was opened with; the pool's recycling bounds by how much.
    """

    def __init__(self, credential: TokenCredential, *, now: Callable[[], float] = time.time) -> None:
        self._credential = credential
        self._now = now
        self._lock = threading.Lock()
        self._token: AccessToken | None = None

    def attributes(self) -> dict[int, bytes]:
        """What the driver takes before it connects: the token in UTF-16, behind its length in bytes.

        Raises StateLoginError where no identity is to be had, StateUnavailableError where the issuer does not answer.
        """
        with self._lock:
            self._token = self._renewed(self._token)
            value = self._token.token.encode("utf-16-le")
        return {ACCESS_TOKEN_ATTRIBUTE: struct.pack(f"<I{len(value)}s", len(value), value)}

    def _renewed(self, token: AccessToken | None) -> AccessToken:
        left_sec = token.expires_on - self._now() if token else 0.0
        if token and left_sec >= RENEW_BEFORE_SEC:
            return token
        try:
            return self._ask()
        except StateUnavailableError:
            if token and left_sec > 0:
                return token  # an issuer that is away for a moment: that is what renewing early is for
            raise

    def _ask(self) -> AccessToken:
        try:
            return self._credential.get_token(SCOPE)
        except ClientAuthenticationError as error:
            raise StateLoginError(
                f"No Entra token for Azure SQL: {error.message}",
                next_step="Give the container its identity (AZURE_CLIENT_ID), sign in with `az login`, or put a user "
                "and password into STATE_URL.",
            ) from error
        except AzureError as error:
            raise StateUnavailableError(f"Entra did not issue a token for Azure SQL: {error.message}") from error


def default_credential(managed_identity: str | None) -> TokenCredential:
    """DefaultAzureCredential, for the user-assigned identity if one is named."""
    if managed_identity is None:
        return DefaultAzureCredential()
    return DefaultAzureCredential(managed_identity_client_id=managed_identity)

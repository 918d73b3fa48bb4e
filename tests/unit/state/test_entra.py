"""Tokens: their form on the wire, and when a new one is asked for."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import CredentialUnavailableError

from libs.common.state import StateLoginError, StateUnavailableError
from libs.common.state.entra import TokenSource


class Issuer:
    """Issues numbered tokens that live for an hour, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.time = 1000.0
        self.failure = failure

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        self.asked += scopes
        if self.failure is not None:
            raise self.failure
        return AccessToken(f"token-{len(self.asked)}", int(self.time) + 3600)

    def now(self) -> float:
        return self.time


def test_the_token_goes_out_as_the_driver_wants_it() -> None:
    issuer = Issuer()

    attributes = TokenSource(issuer, now=issuer.now).attributes()

    text = "token-1".encode("utf-16-le")
    assert attributes == {1256: struct.pack("<I", len(text)) + text}
    assert issuer.asked == ["https://database.windows.net/.default"]


def test_a_token_is_used_until_shortly_before_it_expires() -> None:
    issuer = Issuer()
    source = TokenSource(issuer, now=issuer.now)
    first = source.attributes()

    issuer.time += 3600 - 300
    assert source.attributes() == first
    issuer.time += 1
    assert source.attributes() != first
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    "failure", [CredentialUnavailableError("no identity here"), ClientAuthenticationError("AADSTS7000215")]
)
def test_no_identity_is_terminal_and_says_what_to_do(failure: Exception) -> None:
    with pytest.raises(StateLoginError) as refused:
        TokenSource(Issuer(failure)).attributes()

    assert str(failure) in str(refused.value)
    assert "AZURE_CLIENT_ID" in refused.value.next_step


def test_an_issuer_that_does_not_answer_is_transient() -> None:
    with pytest.raises(StateUnavailableError):
        TokenSource(Issuer(ServiceRequestError("no route"))).attributes()


def test_while_the_issuer_is_away_a_token_is_used_to_its_end() -> None:
    issuer = Issuer()
    source = TokenSource(issuer, now=issuer.now)
    first = source.attributes()
    issuer.failure = ServiceRequestError("no route")

    issuer.time += 3600 - 1
    assert source.attributes() == first
    issuer.time += 1
    with pytest.raises(StateUnavailableError):
        source.attributes()

    issuer.failure = None
    assert source.attributes() != first

"""The HTTP transport under simple-salesforce and our own calls: time-outs, retries of safe calls, a count of calls."""

from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

CONNECT_TIMEOUT_SEC: Final = 10.0
_MAX_RETRY_AFTER_SEC: Final = 30
TRANSIENT_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP answers that say nothing about the call itself."""


class SalesforceTransport(HTTPAdapter):
    """Gives every call a time-out, repeats GETs on a broken connection, 429 and 5xx, and honours `Retry-After`.

    The library sets no time-out of its own, so that a silent server would hold a sync for ever. Calls that change
    something are not repeated here: whoever makes one knows how to find out whether it took effect.
    """

    def __init__(self, *, timeout_sec: float, retries: int) -> None:
        self.calls = 0
        self._timeout = (CONNECT_TIMEOUT_SEC, timeout_sec)
        super().__init__(
            max_retries=Retry(
                total=retries,
                allowed_methods=frozenset({"GET"}),
                status_forcelist=frozenset({429, 500, 502, 503, 504}),
                backoff_factor=0.25,
                backoff_max=5,
                backoff_jitter=0.25,
                raise_on_status=False,
                retry_after_max=_MAX_RETRY_AFTER_SEC,
            )
        )

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """`HTTPAdapter.send` with the default time-out."""
        self.calls += 1
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._timeout
        return super().send(request, *args, **kwargs)


class PlainTransport(SalesforceTransport):
    """Sends `https://` requests unencrypted: the library knows no other scheme, a local emulator no encryption.

    Mounted for the one address of SF_LOGIN_URL, and only where that says http.
    """

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """`SalesforceTransport.send` over http."""
        assert request.url is not None
        request.url = "http://" + request.url.removeprefix("https://")
        return super().send(request, *args, **kwargs)

"""A session with one org: simple-salesforce for login, describe, limits and queries, and its HTTP session for the rest.

Every method blocks (call it in a thread) and raises a SalesforceUnavailableError or SalesforceLimitError (transient),
a SalesforceLoginError or a SalesforceRequestError (terminal), and nothing else.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import requests
import structlog
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError

from libs.common.errors import RetlError
from services.sf_sync.errors import (
    SalesforceLimitError,
    SalesforceLoginError,
    SalesforceRequestError,
    SalesforceUnavailableError,
)
from services.sf_sync.login import Grant, refused_login
from services.sf_sync.transport import TRANSIENT_STATUS, PlainTransport, SalesforceTransport

T = TypeVar("T")
_log: Final = structlog.get_logger(__name__)

# 401 everywhere; Bulk and some gateways answer 400 or 403 with one of these words instead.
_EXPIRED_WORDS: Final = ("INVALID_SESSION_ID", "InvalidSessionId")
_LIMIT_CODES: Final = ("REQUEST_LIMIT_EXCEEDED", "ExceededQuota", "API_LIMIT_EXCEEDED", "TotalRequests Limit exceeded")
_TRANSIENT_CODES: Final = (
    "SERVER_UNAVAILABLE",
    "API_CURRENTLY_DISABLED",
    "REQUEST_RUNNING_TOO_LONG",
    "SERVICE_UNAVAILABLE",
)
_CHUNK_BYTES: Final = 1 << 20


class HttpError(Exception):
    """Salesforce's refusal of one of our own calls, before it has become one of the project's errors."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status, self.text = status, text


class SalesforceSession:
    """Logs in at the first call and again when the session has expired. Safe to share between threads."""

    def __init__(
        self, grant: Grant, *, login_url: str, api_version: str, timeout_sec: float = 120.0, http_retries: int = 3
    ) -> None:
        self._grant, self._login_url, self._version = grant, login_url, api_version
        transport = PlainTransport if login_url.startswith("http://") else SalesforceTransport
        self._transport = transport(timeout_sec=timeout_sec, retries=http_retries)
        self._http = requests.Session()
        self._http.mount(
            f"https://{urlsplit(login_url).netloc}" if transport is PlainTransport else "https://", self._transport
        )
        self._lock = threading.Lock()
        self._library: Salesforce | None = None

    @property
    def calls(self) -> int:
        """HTTP calls made so far, logins included, retries inside the transport not."""
        return self._transport.calls

    def close(self) -> None:
        """Release the connections."""
        self._http.close()

    def describe(self, sobject: str) -> dict[str, Any]:
        """The object's description: `createable`, `fields` and so on."""
        found = self._call(lambda sf: sf.restful(f"sobjects/{sobject}/describe"))
        return found or {}

    def limits(self) -> dict[str, dict[str, int]]:
        """The org's limits by name, each with `Max` and `Remaining`."""
        found: dict[str, dict[str, int]] = self._call(lambda sf: sf.limits())
        return found

    def query(self, soql: str) -> list[dict[str, Any]]:
        """All records that the SOQL query finds; for small results."""
        records: list[dict[str, Any]] = self._call(lambda sf: sf.query_all(soql)["records"])
        return records

    def org_id(self) -> str:
        """Names the org, so that what one org accepted is never taken for what another holds.

        A session id begins with the org's id and '!'; tokens in other formats leave only the instance's host.
        """
        library = self._call(lambda sf: sf)
        org, separator, _ = library.session_id.partition("!")
        return org if separator else str(library.sf_instance)

    def request(self, method: str, path: str, *, body: Path | None = None, **options: Any) -> requests.Response:
        """One call below `/services/data/vXX.X/`, its 2xx answer; `options` are those of `requests`.

        `body` is a file, streamed from the beginning at each try.
        """
        return self._call(lambda sf: self._send(sf, method, path, body, options))

    def download(self, path: str, target: Path, **options: Any) -> Mapping[str, str]:
        """Stream an answer's content into `target`; returns the answer's headers. Starts over at each try."""

        def fetch(sf: Salesforce) -> Mapping[str, str]:
            with self._send(sf, "GET", path, None, {**options, "stream": True}) as answer, target.open("wb") as file:
                for chunk in answer.iter_content(_CHUNK_BYTES):
                    file.write(chunk)
                return answer.headers

        return self._call(fetch)

    def _send(
        self, sf: Salesforce, method: str, path: str, body: Path | None, options: dict[str, Any]
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {sf.session_id}", **options.get("headers", {})}
        with body.open("rb") if body else nullcontext() as data:
            answer = self._http.request(
                method, f"{sf.base_url}{path}", **{**options, "headers": headers, **({"data": data} if data else {})}
            )
        if answer.status_code >= 300:
            with answer:
                raise HttpError(answer.status_code, answer.text)
        return answer

    def _call(self, action: Callable[[Salesforce], T]) -> T:
        with _translated():
            library = self._logged_in()
            try:
                return action(library)
            except (SalesforceError, HttpError) as error:
                if not _has_expired(error):
                    raise
            return action(self._logged_in(instead_of=library))

    def _logged_in(self, instead_of: Salesforce | None = None) -> Salesforce:
        """The library's session; a new one if there is none or it still is the expired one."""
        with self._lock:
            if self._library is None or self._library is instead_of:
                if self._grant.warning and self._library is None:
                    _log.warning("salesforce_login_retiring", text=self._grant.warning)
                session_id, instance = self._grant.login(self._http, self._login_url)
                self._library = Salesforce(
                    session_id=session_id,
                    instance_url=f"https://{instance}",
                    session=self._http,
                    version=self._version,
                )
            return self._library


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RetlError:
        raise
    except SalesforceAuthenticationFailed as error:
        raise refused_login(error) from error
    except SalesforceError as error:
        raise refusal(error.status, str(error.content)) from error
    except HttpError as error:
        raise refusal(error.status, error.text) from error
    except requests.RequestException as error:
        # Its text may hold the URL, never the headers.
        raise SalesforceUnavailableError(
            f"The connection to Salesforce failed: {type(error).__name__}: {error}."
        ) from error


def _has_expired(error: SalesforceError | HttpError) -> bool:
    if isinstance(error, SalesforceAuthenticationFailed):
        return False
    text = error.text if isinstance(error, HttpError) else str(error.content)
    return error.status == 401 or (error.status in {400, 403} and any(word in text for word in _EXPIRED_WORDS))


def refusal(status: int, text: str) -> RetlError:
    """The project's error for an HTTP answer of Salesforce that is not 2xx."""
    said = f"Salesforce answered {status}: {text[:500]}"
    if any(code in text for code in _LIMIT_CODES):
        return SalesforceLimitError(said)
    if status in TRANSIENT_STATUS or any(code in text for code in _TRANSIENT_CODES):
        return SalesforceUnavailableError(said)
    if status == 401:
        return SalesforceLoginError(said)
    return SalesforceRequestError(said, status=status)

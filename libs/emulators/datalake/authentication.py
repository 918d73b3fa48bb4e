"""SharedKey signatures, so that a wrong key fails here as it fails in Azure.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
"""

import base64
import hashlib
import hmac

from aiohttp import web

from libs.emulators.datalake.errors import ServiceError

_SIGNED_HEADERS = (
    "Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date",
    "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range",
)  # fmt: skip


def authenticate(request: web.Request, account: str, key: str) -> None:
    """Raise 401 without credentials and 403 for a wrong account, key or kind of credential."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        raise ServiceError(
            401,
            "NoAuthenticationInformation",
            "The request is not signed. SAS tokens and anonymous access are not emulated.",
            {"WWW-Authenticate": "SharedKey"},
        )
    if scheme != "SharedKey":
        raise _refused(f"The emulator knows SharedKey only, not {scheme}; tokens need https, which it does not speak.")
    name, _, signature = value.partition(":")
    if name != account:
        raise _refused(f"This is the account {account!r}, not {name!r}.")
    if not any(
        hmac.compare_digest(signature, _signature(text, base64.b64decode(key)))
        for text in _strings_to_sign(request, account)
    ):
        raise _refused("The signature does not match: is it the account's key?")


def _refused(message: str) -> ServiceError:
    return ServiceError(403, "AuthenticationFailed", message)


def _signature(text: str, key: bytes) -> str:
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


def _strings_to_sign(request: web.Request, account: str) -> tuple[str, str]:
    """Two, because SDKs disagree on the order of x-ms- headers: by ASCII, or with '-' ignored."""
    values = [request.headers.get(name, "") for name in _SIGNED_HEADERS]
    if values[2] == "0":
        values[2] = ""  # an empty body counts as no length since version 2015-02-21
    first = "\n".join([request.method, *values])
    own = {name.lower(): value.strip() for name, value in request.headers.items() if name.lower().startswith("x-ms-")}
    query: dict[str, list[str]] = {}
    for name, value in request.query.items():
        query.setdefault(name.lower(), []).append(value)
    resource = f"/{account}{request.raw_path.partition('?')[0]}"
    resource += "".join(f"\n{name}:{','.join(sorted(query[name]))}" for name in sorted(query))

    def text(names: list[str]) -> str:
        return first + "\n" + "".join(f"{name}:{own[name]}\n" for name in names) + resource

    return text(sorted(own)), text(sorted(own, key=lambda name: name.replace("-", "")))

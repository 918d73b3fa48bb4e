"""Bodies and addresses in Salesforce's form."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from aiohttp import web

from libs.emulators.salesforce.errors import ApiError
from libs.emulators.salesforce.org import Org

ORG = web.AppKey("org", Org)
VERSIONS = tuple(f"{number}.0" for number in range(50, 68))
"""The API versions that the org answers to."""

_encoder = msgspec.json.Encoder()


def json_response(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with JSON; msgspec.Raw values are written as they are."""
    return web.Response(
        body=_encoder.encode(body), status=status, headers=headers, content_type="application/json", charset="UTF-8"
    )


def error_response(error: ApiError) -> web.Response:
    """Answer with Salesforce's list of one error."""
    entry: dict[str, Any] = {"message": error.message, "errorCode": error.code}
    if error.fields:
        entry["fields"] = list(error.fields)
    retry = {} if error.retry_after_sec is None else {"Retry-After": str(error.retry_after_sec)}
    return json_response([entry], status=error.status, headers=retry)


def version_base(request: web.Request) -> str:
    """The address prefix of the version that the request names. Raises ApiError 404 for an unknown version."""
    version = request.match_info["version"]
    if version not in VERSIONS:
        raise ApiError(404, "NOT_FOUND", f"The requested resource does not exist: no API version {version}")
    return f"/services/data/v{version}"


async def read_json(request: web.Request, kind: type[Any] = dict) -> Any:
    """Read the JSON body; numbers with a fraction become Decimal. Raises ApiError JSON_PARSER_ERROR."""
    try:
        return msgspec.json.Decoder(kind, float_hook=Decimal).decode(await request.read())
    except msgspec.DecodeError as error:
        raise ApiError(400, "JSON_PARSER_ERROR", str(error)) from error

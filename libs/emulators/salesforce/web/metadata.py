"""Versions, resources, describe, limits and queries: the calls that only read."""

from __future__ import annotations

from aiohttp import web

from libs.emulators.salesforce.describe import describe_all, describe_object, describe_summary
from libs.emulators.salesforce.errors import ApiError, not_found
from libs.emulators.salesforce.schema import SObject
from libs.emulators.salesforce.soql.cursors import PAGE_ROWS
from libs.emulators.salesforce.web.responses import ORG, VERSIONS, json_response, version_base


async def versions(_: web.Request) -> web.Response:
    """Answer ``GET /services/data``; needs no session."""
    return json_response(
        [{"label": f"API {version}", "url": f"/services/data/v{version}", "version": version} for version in VERSIONS]
    )


async def resources(request: web.Request) -> web.Response:
    """Answer ``GET /services/data/vXX.X``."""
    base = version_base(request)
    return json_response(
        {name: f"{base}/{name}" for name in ("sobjects", "query", "queryAll", "limits", "jobs", "composite")}
    )


def sobject(request: web.Request) -> SObject:
    """The object that the address names. Raises ApiError 404."""
    one = request.app[ORG].schema.find(request.match_info["object"])
    if one is None:
        raise not_found()
    return one


async def sobjects(request: web.Request) -> web.Response:
    """Answer ``GET …/sobjects``."""
    version_base(request)
    return json_response(describe_all(request.app[ORG].schema, request.match_info["version"]))


async def sobject_summary(request: web.Request) -> web.Response:
    """Answer ``GET …/sobjects/{object}``."""
    version_base(request)
    return json_response(
        {"objectDescribe": describe_summary(sobject(request), request.match_info["version"]), "recentItems": []}
    )


async def describe(request: web.Request) -> web.Response:
    """Answer ``GET …/sobjects/{object}/describe``."""
    version_base(request)
    return json_response(describe_object(sobject(request), request.match_info["version"]))


async def limits(request: web.Request) -> web.Response:
    """Answer ``GET …/limits``."""
    version_base(request)
    return json_response(request.app[ORG].usage.rendered())


async def query(request: web.Request) -> web.Response:
    """Answer ``GET …/query?q=`` and ``…/queryAll?q=``."""
    soql = request.query.get("q")
    if soql is None:
        raise ApiError(400, "MALFORMED_QUERY", "The parameter q is missing")
    org = request.app[ORG]
    page = await org.read(
        org.cursors.query,
        soql,
        version_base(request),
        with_deleted=request.match_info["resource"] == "queryAll",
        page_rows=_page_rows(request),
    )
    return json_response(page)


async def query_more(request: web.Request) -> web.Response:
    """Answer the address that ``nextRecordsUrl`` names."""
    org = request.app[ORG]
    return json_response(await org.read(org.cursors.more, request.match_info["locator"], version_base(request)))


def _page_rows(request: web.Request) -> int:
    name, _, value = request.headers.get("Sforce-Query-Options", "").partition("=")
    return int(value) if name.strip() == "batchSize" and value.strip().isdigit() else PAGE_ROWS

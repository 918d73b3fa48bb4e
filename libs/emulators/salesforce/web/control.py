"""The emulator's own endpoints under ``/_emulator``, for tests; they need no session and count for no limit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec
from aiohttp import web

from libs.emulators.salesforce.errors import ApiError
from libs.emulators.salesforce.faults import decode_faults
from libs.emulators.salesforce.org import Org
from libs.emulators.salesforce.schema import SObject
from libs.emulators.salesforce.values import json_renderer
from libs.emulators.salesforce.web.metadata import sobject
from libs.emulators.salesforce.web.responses import ORG, json_response
from libs.emulators.salesforce.web.streaming import stream

_ROWS = 2_000


async def health(_: web.Request) -> web.Response:
    """Answer ``GET /health``."""
    return json_response({"status": "ok"})


async def add_faults(request: web.Request) -> web.Response:
    """Answer ``POST /_emulator/faults``: one fault or a list; answers with all that are set."""
    try:
        faults = decode_faults(await request.read())
    except msgspec.DecodeError as error:
        raise ApiError(400, "INVALID_FAULT", str(error)) from error
    request.app[ORG].faults.add(faults)
    return await list_faults(request)


async def list_faults(request: web.Request) -> web.Response:
    """Answer ``GET /_emulator/faults``."""
    return json_response(request.app[ORG].faults.listed())


async def clear_faults(request: web.Request) -> web.Response:
    """Answer ``DELETE /_emulator/faults``."""
    request.app[ORG].faults.clear()
    return web.Response(status=204)


async def stats(request: web.Request) -> web.Response:
    """Answer ``GET /_emulator/stats``: calls by kind, allowances used, and per object records and attempts."""
    org = request.app[ORG]
    return json_response(
        {
            "calls": dict(org.calls),
            "api_calls": org.usage.api_calls,
            "bulk_batches": org.usage.batches,
            "objects": await org.read(_object_stats, org),
        }
    )


def _object_stats(org: Org) -> dict[str, Any]:
    with org.database.reading() as connection:
        return {one.name: _one_object(connection, one) for one in org.schema.objects}


def _one_object(connection: sqlite3.Connection, one: SObject) -> dict[str, int]:
    live = connection.execute(f"SELECT COUNT(*) FROM {one.table} WHERE IsDeleted = 0").fetchone()[0]
    ids, attempts, most = connection.execute(
        "SELECT COUNT(*), COALESCE(SUM(times), 0), COALESCE(MAX(times), 0) FROM attempt WHERE object = ?", (one.name,)
    ).fetchone()
    return {"records": live, "external_ids": ids, "attempts": attempts, "most_attempts": most}


async def attempts(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /_emulator/attempts/{object}?min=N``: JSON Lines of external ids that arrived N times or more."""
    minimum = request.query.get("min", "1")
    if not minimum.isdigit():
        raise ApiError(400, "INVALID_PARAMETER", "min must be a whole number")
    chunks = _attempt_lines(request.app[ORG], sobject(request), int(minimum))
    return await stream(request, chunks, content_type="application/x-ndjson")


def _attempt_lines(org: Org, one: SObject, minimum: int) -> Iterator[bytes]:
    sql = "SELECT external_id, times FROM attempt WHERE object = ? AND times >= ? ORDER BY external_id"
    with org.database.reading() as connection:
        rows = connection.execute(sql, (one.name, minimum))
        while page := rows.fetchmany(_ROWS):
            yield b"".join(msgspec.json.encode({"external_id": key, "times": times}) + b"\n" for key, times in page)


async def records(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /_emulator/records/{object}``: all live records as JSON Lines, in the order of their ids."""
    chunks = _record_lines(request.app[ORG], sobject(request))
    return await stream(request, chunks, content_type="application/x-ndjson")


def _record_lines(org: Org, one: SObject) -> Iterator[bytes]:
    columns = ", ".join(field.column for field in one.fields)
    renderers = [(field.name, json_renderer(field, one.ids)) for field in one.fields]
    with org.database.reading() as connection:
        rows = connection.execute(f"SELECT {columns} FROM {one.table} WHERE IsDeleted = 0 ORDER BY seq")
        while page := rows.fetchmany(_ROWS):
            lines = (
                {name: render(value) for (name, render), value in zip(renderers, row, strict=True)} for row in page
            )
            yield b"".join(msgspec.json.encode(line) + b"\n" for line in lines)

"""Sends long bodies chunk by chunk."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from aiohttp import web

from libs.emulators.salesforce.faults import DroppedConnection
from libs.emulators.salesforce.web.gate import cut
from libs.emulators.salesforce.web.responses import ORG

log = logging.getLogger(__name__)


async def stream(
    request: web.Request,
    chunks: Iterator[bytes],
    *,
    content_type: str,
    headers: Mapping[str, str] | None = None,
    fault: DroppedConnection | None = None,
    gzip: bool = False,
) -> web.StreamResponse:
    """Send what a blocking iterator yields, holding one chunk at a time.

    If the iterator fails, or ``fault`` says so, the connection is cut: an end without the last chunk is the only way
    left to tell the client.
    """
    org = request.app[ORG]
    response = web.StreamResponse(headers={"Content-Type": f"{content_type}; charset=UTF-8", **(headers or {})})
    if gzip and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    await response.prepare(request)
    sent = 0
    cut_short = False
    try:
        while not cut_short and (chunk := await org.read(next, chunks, None)) is not None:
            cut_short = fault is not None and sent + len(chunk) > fault.after_bytes
            await response.write(chunk[: fault.after_bytes - sent] if fault is not None and cut_short else chunk)
            sent += len(chunk)
    except ConnectionError:
        raise
    except Exception as error:
        log.exception("%s stopped half-way", request.path)
        raise cut(request) from error
    if cut_short:
        raise cut(request)
    await response.write_eof()
    return response

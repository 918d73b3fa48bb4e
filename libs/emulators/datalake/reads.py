"""Reading: the whole file or a range, streamed."""

import base64
import hashlib

from aiohttp import web

from libs.emulators.datalake.call import Call
from libs.emulators.datalake.conditions import check_read
from libs.emulators.datalake.errors import ServiceError, bad_request
from libs.emulators.datalake.headers import properties
from libs.emulators.datalake.leases import check_lease
from libs.emulators.datalake.nodes import Node

CUT_AFTER = web.RequestKey("cut_after", int)
"""Set on a request whose answer is to break off after so many bytes."""

_MAX_RANGE_WITH_MD5 = 4 << 20


async def read(call: Call) -> web.StreamResponse:
    """GET on a path; x-ms-range goes before Range."""
    node = call.node()
    check_read(call, node)
    if call.header("x-ms-lease-id"):
        check_lease(call, node)
    headers = properties(node, call.now)
    start, end, status = 0, node.size, 200
    if text := call.header("x-ms-range") or call.header("Range"):
        start, end = _range(text, node.size)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{node.size}"
        status = 206
        if call.header("x-ms-range-get-content-md5").lower() == "true":
            headers["Content-MD5"] = await _md5(call, node, start, end)
    return await _stream(call, node, start, end, web.StreamResponse(status=status, headers=headers))


def _range(text: str, size: int) -> tuple[int, int]:
    """`bytes=0-9`, `bytes=10-` or `bytes=-5` into start and end, end exclusive."""
    unit, _, bounds = text.partition("=")
    first, dash, last = bounds.partition("-")
    if unit != "bytes" or not dash or not (first.isdecimal() or last.isdecimal()):
        raise bad_request("InvalidHeaderValue", f"Not a range of bytes: {text!r}.")
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        raise ServiceError(416, "InvalidRange", "The range lies behind the end.", {"Content-Range": f"bytes */{size}"})
    return start, end


async def _md5(call: Call, node: Node, start: int, end: int) -> str:
    if end - start > _MAX_RANGE_WITH_MD5:
        raise bad_request("OutOfRangeQueryParameterValue", "A range with MD5 has at most 4 MiB.")
    digest = hashlib.md5(usedforsecurity=False)
    async for piece in call.account.contents.read(node.content, start, end - start):
        digest.update(piece)
    return base64.b64encode(digest.digest()).decode()


async def _stream(call: Call, node: Node, start: int, end: int, answer: web.StreamResponse) -> web.StreamResponse:
    answer.content_length = end - start
    await answer.prepare(call.request)
    left = call.request.get(CUT_AFTER)
    async for piece in call.account.contents.read(node.content, start, end - start):
        if left is not None and len(piece) > left:
            await answer.write(piece[:left])
            break
        await answer.write(piece)
        left = left if left is None else left - len(piece)
    else:
        await answer.write_eof()
    return answer

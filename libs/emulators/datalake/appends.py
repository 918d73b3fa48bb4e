"""Append and flush: bytes are sent behind the end of a file, unseen, and become part of it with the flush."""

import base64
import hashlib
from collections.abc import AsyncIterator

from aiohttp import web

from libs.emulators.datalake.call import Call
from libs.emulators.datalake.conditions import check_write
from libs.emulators.datalake.errors import ServiceError, bad_request, conflict
from libs.emulators.datalake.files import content_headers
from libs.emulators.datalake.headers import changed
from libs.emulators.datalake.leases import check_lease
from libs.emulators.datalake.nodes import Node


async def append(call: Call) -> web.Response:
    """PATCH ?action=append&position=N, streamed to disk; noted only when all of it has come."""
    position = call.number("position")
    with call.account.transaction():
        node = _writable_file(call)
        if position < node.size:
            raise bad_request("InvalidFlushPosition", f"Position {position} lies before the end, {node.size}.")
        if not node.content:
            node.content = call.account.contents.new_name()
            call.account.namespace.save(node)
    digest = hashlib.md5(usedforsecurity=False)
    length = await call.account.contents.write(node.content, position, _digested(call, digest))
    if not length:
        raise bad_request("InvalidHeaderValue", "Content-Length must be greater than 0.")
    headers = {"x-ms-request-server-encrypted": "true"}
    if claimed := call.header("Content-MD5"):
        headers["Content-MD5"] = base64.b64encode(digest.digest()).decode()
        if claimed != headers["Content-MD5"]:
            raise bad_request("Md5Mismatch", "The body does not have the MD5 that the header claims.")
    with call.account.transaction():
        current = call.node()
        if current.content != node.content:
            raise ServiceError(404, "PathNotFound", f"{call.path!r} was replaced while the body was being sent.")
        call.account.uploads.add_extent(node.content, position, length)
        if call.query.get("flush") == "true":
            _flush(call, current, position + length)
            headers |= changed(current)
    return web.Response(status=202, headers=headers)


async def flush(call: Call) -> web.Response:
    """PATCH ?action=flush&position=LENGTH. Repeating a flush is fine."""
    position = call.number("position")
    with call.account.transaction():
        node = _writable_file(call)
        check_write(call, node)
        node.headers |= content_headers(call, "x-ms-")
        _flush(call, node, position)
    return web.Response(headers=changed(node))


def _flush(call: Call, node: Node, position: int) -> None:
    end = call.account.uploads.reach(node.content, node.size)
    retain = call.query.get("retainUncommittedData") == "true"
    if position > end or position < node.size or (position < end and not retain):
        raise bad_request(
            "InvalidFlushPosition", f"Position {position} is not the end of what was sent without a gap, {end}."
        )
    if not retain:
        call.account.uploads.drop_extents(node.content)
    node.size = position
    node.touch(call.now)
    call.account.namespace.save(node)


def _writable_file(call: Call) -> Node:
    node = call.node()
    if node.is_directory:
        raise conflict("PathConflict", f"{node.path!r} is a directory.")
    check_lease(call, node)
    return node


async def _digested(call: Call, digest: "hashlib._Hash") -> AsyncIterator[bytes]:
    async for piece in call.pieces():
        digest.update(piece)
        yield piece

"""Files and directories as a whole: create, properties, metadata, delete."""

import base64
from collections.abc import Iterator

from aiohttp import web

from libs.emulators.datalake.call import Call
from libs.emulators.datalake.conditions import check_read, check_write
from libs.emulators.datalake.errors import bad_request, conflict
from libs.emulators.datalake.headers import CONTENT_HEADERS, changed, permissions
from libs.emulators.datalake.headers import properties as property_headers
from libs.emulators.datalake.leases import check_lease
from libs.emulators.datalake.nodes import Node


async def create(call: Call) -> web.Response:
    """PUT ?resource=file|directory: an empty file, replacing one that is there; or a directory, kept if it is there."""
    is_directory = call.query["resource"] == "directory"
    headers, metadata = content_headers(call, "x-ms-"), _path_properties(call.header("x-ms-properties"))
    with call.account.transaction():
        node, replaced = prepare(call, is_directory=is_directory)
        node.headers, node.metadata = headers, metadata
        call.account.namespace.save(node)
    call.account.discard(replaced)
    return web.Response(status=201, headers=changed(node))


def prepare(call: Call, *, is_directory: bool = False) -> tuple[Node, list[str]]:
    """The node to write at the call's path, and the contents it takes the place of. Makes the directories above.

    An overwritten file keeps its lease. Raises 409 or 412 if a condition, a lease or a node of the other kind forbids.
    """
    old = call.find()
    check_write(call, old)
    check_lease(call, old)
    if old is not None and old.is_directory != is_directory:
        raise conflict("PathConflict", f"{call.path!r} exists, and is a {'directory' if old.is_directory else 'file'}.")
    in_the_way = call.account.namespace.make_directories(call.container_name, call.path, call.now)
    if in_the_way is not None:
        raise conflict("PathConflict", f"{in_the_way!r} is a file, so nothing can be below it.")
    if old is not None and is_directory:
        old.touch(call.now)
        return old, []
    node = Node(call.container_name, call.path, is_directory, created_at=call.now, modified_at=call.now)
    if old is None:
        return node, []
    node.lease = old.lease
    return node, [old.content]


def content_headers(call: Call, prefix: str) -> dict[str, str]:
    """Content-Type and its like, which come as `x-ms-content-type` (DFS) or `x-ms-blob-content-type` (blob)."""
    values = {name: call.header(f"{prefix}{name}") for name in (*CONTENT_HEADERS, "content-md5")}
    return {name: value for name, value in values.items() if value}


def _path_properties(text: str) -> dict[str, str]:
    """`name=base64,name=base64` into metadata."""

    def pairs() -> Iterator[tuple[str, str]]:
        for pair in filter(None, text.split(",")):
            name, _, value = pair.strip().partition("=")
            yield name.lower(), base64.b64decode(value, validate=True).decode()

    try:
        return dict(pairs())
    except ValueError as error:
        raise bad_request(
            "InvalidHeaderValue", "x-ms-properties is a list of name=base64, separated by commas."
        ) from error


async def properties(call: Call) -> web.Response:
    """HEAD on a path."""
    node = call.node()
    check_read(call, node)
    return web.Response(headers=property_headers(node, call.now) | {"Content-Length": str(node.size)})


async def access_control(call: Call) -> web.Response:
    """HEAD ?action=getAccessControl or getStatus."""
    node = call.node()
    return web.Response(headers=property_headers(node, call.now) | permissions(is_directory=node.is_directory))


async def set_properties(call: Call) -> web.Response:
    """PATCH ?action=setProperties or setAccessControl (of which nothing is kept)."""
    with call.account.transaction():
        node = _writable(call)
        if call.query["action"] == "setProperties":
            node.headers |= content_headers(call, "x-ms-")
            node.metadata = _path_properties(call.header("x-ms-properties")) or node.metadata
        return _touched(call, node)


async def set_metadata(call: Call) -> web.Response:
    """PUT ?comp=metadata: replaces all."""
    with call.account.transaction():
        node = _writable(call)
        node.metadata = call.metadata()
        return _touched(call, node)


async def set_http_headers(call: Call) -> web.Response:
    """PUT ?comp=properties: replaces all."""
    with call.account.transaction():
        node = _writable(call)
        node.headers = content_headers(call, "x-ms-blob-")
        return _touched(call, node)


def _writable(call: Call) -> Node:
    node = call.node()
    check_write(call, node)
    check_lease(call, node)
    return node


def _touched(call: Call, node: Node) -> web.Response:
    node.touch(call.now)
    call.account.namespace.save(node)
    return web.Response(headers=changed(node))


async def delete(call: Call) -> web.Response:
    """DELETE on a path: a directory with content only with ?recursive=true, then all at once."""
    with call.account.transaction():
        node = _writable(call)
        recursive = call.query.get("recursive") == "true"
        if node.is_directory and not recursive and call.account.namespace.has_children(node.container, node.path):
            raise conflict("DirectoryNotEmpty", f"The directory {node.path!r} is not empty.")
        contents = call.account.namespace.remove_tree(node.container, node.path)
    call.account.discard(contents)
    return web.Response(status=200 if call.is_dfs else 202)

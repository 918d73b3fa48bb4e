"""The blob way of writing, which Arrow and adlfs take: a whole blob, or blocks and then their list."""

import re

from aiohttp import web

from libs.emulators.datalake.call import Call
from libs.emulators.datalake.errors import bad_request
from libs.emulators.datalake.files import content_headers, prepare
from libs.emulators.datalake.headers import changed
from libs.emulators.datalake.uploads import Block

_LISTED_BLOCK = re.compile(r"<(?:Latest|Uncommitted)>([^<]+)</")


async def put_blob(call: Call) -> web.Response:
    """PUT with x-ms-blob-type: BlockBlob: a whole blob in one request."""
    if call.header("x-ms-blob-type") != "BlockBlob":
        raise bad_request("InvalidHeaderValue", "Only block blobs are emulated.")
    content, size = await call.account.contents.write_new(call.pieces())
    return _committed(call, content, size)


async def put_block(call: Call) -> web.Response:
    """PUT ?comp=block&blockid=…: a piece of a blob, unseen until it is listed."""
    call.container()
    content, size = await call.account.contents.write_new(call.pieces())
    with call.account.transaction():
        replaced = call.account.uploads.blocks(call.container_name, call.path).get(call.query["blockid"])
        block = Block(content, size)
        call.account.uploads.add_block(call.container_name, call.path, call.query["blockid"], block)
    call.account.contents.remove([replaced.content] if replaced else [])
    return web.Response(status=201, headers={"x-ms-request-server-encrypted": "true"})


async def put_block_list(call: Call) -> web.Response:
    """PUT ?comp=blocklist: the uncommitted blocks that the body names become the blob. Committed ones are not kept."""
    names = _LISTED_BLOCK.findall((await call.body()).decode())
    blocks = call.account.uploads.blocks(call.container_name, call.path)
    missing = [name for name in names if name not in blocks]
    if missing:
        raise bad_request("InvalidBlockList", f"{len(missing)} of the listed blocks are not there.")
    content = call.account.contents.new_name()
    await call.account.contents.join(content, (blocks[name].content for name in names))
    answer = _committed(call, content, sum(blocks[name].size for name in names))
    call.account.contents.remove(block.content for block in blocks.values())
    return answer


def _committed(call: Call, content: str, size: int) -> web.Response:
    try:
        with call.account.transaction():
            node, replaced = prepare(call)
            node.content, node.size = content, size
            node.headers, node.metadata = content_headers(call, "x-ms-blob-"), call.metadata()
            call.account.namespace.save(node)
            call.account.uploads.drop_blocks(call.container_name, call.path)
    except BaseException:
        call.account.contents.remove([content])
        raise
    call.account.discard(replaced)
    return web.Response(status=201, headers=changed(node))

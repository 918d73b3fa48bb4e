"""The account and its containers (file systems)."""

import re
from xml.sax.saxutils import escape

from aiohttp import web

from libs.emulators.datalake.call import Call
from libs.emulators.datalake.errors import bad_request, conflict
from libs.emulators.datalake.headers import changed, container_properties, http_date, permissions

# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_NAME = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def check_container_name(name: str) -> None:
    """Raise 400 for a name that the service would not take."""
    if not _NAME.fullmatch(name):
        raise bad_request(
            "InvalidResourceName", f"A container's name has 3 to 63 of a-z, 0-9 and single '-', not {name!r}."
        )


async def list_containers(call: Call) -> web.Response:
    """GET /?comp=list, in one page."""
    items = "".join(
        f"<Container><Name>{escape(container.name)}</Name><Properties><Last-Modified>{http_date(container.modified_at)}"
        f"</Last-Modified><Etag>{container.etag}</Etag></Properties></Container>"
        for container in call.account.namespace.containers()
        if container.name.startswith(call.query.get("prefix", ""))
    )
    return web.Response(
        content_type="application/xml",
        text='<?xml version="1.0" encoding="utf-8"?><EnumerationResults>'
        f"<Containers>{items}</Containers><NextMarker/></EnumerationResults>",
    )


async def account_information(call: Call) -> web.Response:
    """GET or HEAD ?restype=account: what kind of account this is."""
    return web.Response(
        headers={"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2", "x-ms-is-hns-enabled": "true"}
    )


async def create(call: Call) -> web.Response:
    """PUT on a container."""
    check_container_name(call.container_name)
    with call.account.transaction():
        if call.account.namespace.container(call.container_name) is not None:
            code = "FilesystemAlreadyExists" if call.is_dfs else "ContainerAlreadyExists"
            raise conflict(code, f"The container {call.container_name!r} exists already.")
        container = call.account.namespace.add_container(call.container_name, call.now)
    return web.Response(status=201, headers=changed(container))


async def properties(call: Call) -> web.Response:
    """HEAD or GET on a container."""
    return web.Response(headers=container_properties(call.container()))


async def access_control(call: Call) -> web.Response:
    """HEAD ?action=getAccessControl on the root: how Arrow finds out that there is a hierarchical namespace."""
    return web.Response(headers=changed(call.container()) | permissions(is_directory=True))


async def delete(call: Call) -> web.Response:
    """DELETE on a container, with everything in it, at once."""
    with call.account.transaction():
        name = call.container().name
        contents = call.account.namespace.remove_container(name) + call.account.uploads.drop_all_blocks(name)
    call.account.discard(contents)
    return web.Response(status=202)

"""Rename: one transaction, however much lies below."""

from urllib.parse import urlsplit

from aiohttp import web

from libs.emulators.datalake.call import Call, split_url_path
from libs.emulators.datalake.conditions import check_source, check_write
from libs.emulators.datalake.errors import ServiceError, conflict
from libs.emulators.datalake.headers import changed
from libs.emulators.datalake.leases import check_lease
from libs.emulators.datalake.nodes import Node, parent_of


async def rename(call: Call) -> web.Response:
    """PUT on the new path with x-ms-rename-source: /container/old%20path.

    Replaces a file by a file and an empty directory by a directory, unless `If-None-Match: *` forbids it. ETag, times
    and metadata stay, leases end.
    """
    namespace = call.account.namespace
    with call.account.transaction():
        source = _source(call)
        check_source(call, source)
        check_lease(call, source, "x-ms-source-lease-id")
        target = call.find()
        check_write(call, target)
        if call.header("x-ms-lease-id"):
            check_lease(call, target)
        if (source.container, source.path) == (call.container_name, call.path):
            return web.Response(status=201, headers=changed(source))
        replaced = _make_way(call, source, target)
        namespace.move_tree((source.container, source.path), (call.container_name, call.path))
    call.account.discard(replaced)
    return web.Response(status=201, headers=changed(source))


def _source(call: Call) -> Node:
    raw_path = urlsplit(call.header("x-ms-rename-source")).path
    container, path = split_url_path(f"/{call.account.name}{raw_path}", call.account.name)
    node = call.account.namespace.find(container, path)
    if node is None:
        raise ServiceError(404, "SourcePathNotFound", f"The source of the rename, {path!r}, does not exist.")
    return node


def _make_way(call: Call, source: Node, target: Node | None) -> list[str]:
    namespace = call.account.namespace
    parent = parent_of(call.path)
    if source.container == call.container_name and call.path.startswith(f"{source.path}/"):
        raise conflict("InvalidRenameSourcePath", "A directory cannot be moved below itself.")
    if parent and ((above := namespace.find(call.container_name, parent)) is None or not above.is_directory):
        raise ServiceError(404, "RenameDestinationParentPathNotFound", f"There is no directory {parent!r}.")
    if target is None:
        return []
    if target.is_directory != source.is_directory:
        raise conflict("InvalidSourceOrDestinationResourceType", "Source and target must be of the same kind.")
    if target.is_directory and namespace.has_children(target.container, target.path):
        raise conflict("DirectoryNotEmpty", f"The target directory {target.path!r} is not empty.")
    return namespace.remove_tree(target.container, target.path)

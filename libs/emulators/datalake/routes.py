"""Which request is which operation. The first route that fits wins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from libs.emulators.datalake import appends, blobs, containers, files, leases, listings, reads, renames
from libs.emulators.datalake.call import Handler

Scope = Literal["account", "container", "path"]


@dataclass(frozen=True, slots=True)
class Route:
    """An operation: its name (for faults and the log), what its requests look like, and who answers.

    `query` maps parameters to the values they may have ("" for any); `header` must be there. `is_dfs` says which
    endpoint's vocabulary errors use.
    """

    operation: str
    methods: str
    scope: Scope
    handler: Handler
    query: Mapping[str, str] = field(default_factory=dict)
    header: str = ""
    is_dfs: bool = False

    def fits(self, request: web.Request, scope: Scope) -> bool:
        """Whether the request is one of this operation."""
        return (
            self.scope == scope
            and request.method in self.methods.split()
            and (not self.header or self.header in request.headers)
            and all(
                name in request.query and (not values or request.query[name] in values.split())
                for name, values in self.query.items()
            )
        )


ROUTES = (
    Route("account.list", "GET", "account", containers.list_containers, {"comp": "list"}),
    Route("account.information", "GET HEAD", "account", containers.account_information, {"restype": ""}),
    Route("container.list", "GET", "container", listings.list_paths, {"resource": "filesystem"}, is_dfs=True),
    Route("container.list_blobs", "GET", "container", listings.list_blobs, {"comp": "list"}),
    Route("container.create", "PUT", "container", containers.create, {"restype": "container"}),
    Route("container.create", "PUT", "container", containers.create, {"resource": "filesystem"}, is_dfs=True),
    Route("container.access_control", "HEAD", "container", containers.access_control, {"action": ""}, is_dfs=True),
    Route("container.properties", "GET HEAD", "container", containers.properties, {"restype": "container"}),
    Route("container.properties", "HEAD", "container", containers.properties, {"resource": "filesystem"}, is_dfs=True),
    Route("container.delete", "DELETE", "container", containers.delete, {"restype": "container"}),
    Route("container.delete", "DELETE", "container", containers.delete, {"resource": "filesystem"}, is_dfs=True),
    Route("path.lease", "PUT", "path", leases.lease, {"comp": "lease"}),
    Route("path.set_metadata", "PUT", "path", files.set_metadata, {"comp": "metadata"}),
    Route("path.set_http_headers", "PUT", "path", files.set_http_headers, {"comp": "properties"}),
    Route("path.put_block", "PUT", "path", blobs.put_block, {"comp": "block", "blockid": ""}),
    Route("path.put_block_list", "PUT", "path", blobs.put_block_list, {"comp": "blocklist"}),
    Route("path.put_blob", "PUT", "path", blobs.put_blob, header="x-ms-blob-type"),
    Route("path.rename", "PUT", "path", renames.rename, header="x-ms-rename-source", is_dfs=True),
    Route("path.create", "PUT", "path", files.create, {"resource": "file directory"}, is_dfs=True),
    Route("path.append", "PATCH", "path", appends.append, {"action": "append"}, is_dfs=True),
    Route("path.flush", "PATCH", "path", appends.flush, {"action": "flush"}, is_dfs=True),
    Route(
        "path.set_properties", "PATCH", "path", files.set_properties,
        {"action": "setProperties setAccessControl"}, is_dfs=True,
    ),
    Route("path.access_control", "HEAD", "path", files.access_control, {"action": ""}, is_dfs=True),
    Route("path.properties", "HEAD", "path", files.properties),
    Route("path.read", "GET", "path", reads.read),
    Route("path.delete", "DELETE", "path", files.delete, {"recursive": ""}, is_dfs=True),
    Route("path.delete", "DELETE", "path", files.delete),
)  # fmt: skip


def route_of(request: web.Request, container: str, path: str) -> Route | None:
    """The operation of a request, or None for what is not emulated."""
    scope: Scope = "path" if path else "container" if container else "account"
    return next((route for route in ROUTES if route.fits(request, scope)), None)

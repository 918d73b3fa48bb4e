"""Listings: paths (DFS, JSON) and blobs (XML), in pages."""

import base64
from xml.sax.saxutils import escape, quoteattr

from aiohttp import web

from libs.emulators.datalake.call import Call
from libs.emulators.datalake.errors import ServiceError, bad_request
from libs.emulators.datalake.headers import http_date
from libs.emulators.datalake.nodes import Node

_MAX_PAGE = 5000
_FILETIME_EPOCH_SEC = 11_644_473_600  # 1601-01-01, from which creationTime counts 100 ns


async def list_paths(call: Call) -> web.Response:
    """GET ?resource=filesystem: what is in or below `directory`, by path."""
    container = call.container().name
    directory = call.query.get("directory", "").strip("/")
    if directory:
        root = call.account.namespace.find(container, directory)
        if root is None or not root.is_directory:
            raise ServiceError(404, "PathNotFound", f"There is no directory {directory!r}.")
    size = min(call.number("maxResults", _MAX_PAGE) or _MAX_PAGE, _MAX_PAGE)
    nodes = call.account.namespace.children(
        container,
        directory,
        after=_decoded(call.query.get("continuation", "")),
        limit=size + 1,
        recursive=call.query.get("recursive") == "true",
    )
    headers = {"x-ms-continuation": _encoded(nodes[size - 1].path)} if len(nodes) > size else {}
    return web.json_response({"paths": [_path_item(node) for node in nodes[:size]]}, headers=headers)


def _path_item(node: Node) -> dict[str, str]:
    item = {
        "name": node.path,
        "contentLength": str(node.size),
        "creationTime": str(int((node.created_at + _FILETIME_EPOCH_SEC) * 10_000_000)),
        "etag": node.etag.strip('"'),
        "lastModified": http_date(node.modified_at),
        "owner": "$superuser",
        "group": "$superuser",
        "permissions": "rwxr-x---" if node.is_directory else "rw-r-----",
    }
    return item | ({"isDirectory": "true"} if node.is_directory else {})


async def list_blobs(call: Call) -> web.Response:
    """GET ?restype=container&comp=list: names that begin with `prefix`; with `delimiter`, directories as prefixes."""
    container = call.container().name
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    size = min(call.number("maxresults", _MAX_PAGE) or _MAX_PAGE, _MAX_PAGE)
    marker = _decoded(call.query.get("marker", ""))
    with_metadata = "metadata" in call.query.get("include", "")
    entries: dict[str, str] = {}
    for node in call.account.namespace.with_prefix(container, prefix):
        head, found, _ = node.path[len(prefix) :].partition(delimiter) if delimiter else (node.path, "", "")
        if found or (delimiter and node.is_directory):
            name = f"{prefix}{head}{delimiter}"
            entries[name] = f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"
        else:
            entries[node.path] = _blob_item(node, with_metadata=with_metadata)
    names = sorted(name for name in entries if name > marker)
    following = _encoded(names[size - 1]) if len(names) > size else ""
    blobs = "".join(entries[name] for name in names[:size])
    return web.Response(
        content_type="application/xml",
        text=f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName={quoteattr(container)}>'
        f"<Prefix>{escape(prefix)}</Prefix><MaxResults>{size}</MaxResults><Delimiter>{escape(delimiter)}</Delimiter>"
        f"<Blobs>{blobs}</Blobs><NextMarker>{following}</NextMarker></EnumerationResults>",
    )


def _blob_item(node: Node, *, with_metadata: bool) -> str:
    metadata = dict(node.metadata) | ({"hdi_isfolder": "true"} if node.is_directory else {})
    pairs = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in metadata.items())
    return (
        f"<Blob><Name>{escape(node.path)}</Name><Properties><Creation-Time>{http_date(node.created_at)}</Creation-Time>"
        f"<Last-Modified>{http_date(node.modified_at)}</Last-Modified><Etag>{node.etag.strip(chr(34))}</Etag>"
        f"<ResourceType>{'directory' if node.is_directory else 'file'}</ResourceType>"
        f"<Content-Length>{node.size}</Content-Length>"
        f"<Content-Type>{escape(node.headers.get('content-type', 'application/octet-stream'))}</Content-Type>"
        "<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>"
        "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted>"
        f"</Properties>{f'<Metadata>{pairs}</Metadata>' if with_metadata or node.is_directory else ''}</Blob>"
    )


def _encoded(path: str) -> str:
    return base64.urlsafe_b64encode(path.encode()).decode()


def _decoded(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError as error:
        raise bad_request("InvalidQueryParameterValue", "The continuation token is not one of this account.") from error

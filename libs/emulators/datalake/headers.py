"""Response headers. Clients rely on more of them than one would think; Arrow aborts the process if one is missing."""

from email.utils import formatdate

from libs.emulators.datalake.nodes import Container, Node

CONTENT_HEADERS = ("content-type", "content-encoding", "content-language", "content-disposition", "cache-control")
_OWNER = {"x-ms-owner": "$superuser", "x-ms-group": "$superuser"}


def http_date(epoch_sec: float) -> str:
    """RFC 1123, as in Last-Modified."""
    return formatdate(epoch_sec, usegmt=True)


def changed(entity: Node | Container) -> dict[str, str]:
    """Of every answer that tells a version."""
    return {
        "ETag": entity.etag,
        "Last-Modified": http_date(entity.modified_at),
        "x-ms-request-server-encrypted": "true",
    }


def permissions(*, is_directory: bool) -> dict[str, str]:
    """Owner and rights, the same for all: the emulator keeps no access control lists."""
    rights = "rwxr-x---" if is_directory else "rw-r-----"
    acl = "user::rwx,group::r-x,other::---" if is_directory else "user::rw-,group::r--,other::---"
    return {**_OWNER, "x-ms-permissions": rights, "x-ms-acl": acl}


def container_properties(container: Container) -> dict[str, str]:
    """Of HEAD and GET on a container."""
    return changed(container) | {
        "x-ms-namespace-enabled": "true",
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-has-immutability-policy": "false",
        "x-ms-has-legal-hold": "false",
        "x-ms-immutable-storage-with-versioning-enabled": "false",
        "x-ms-default-encryption-scope": "$account-encryption-key",
        "x-ms-deny-encryption-scope-override": "false",
    }


def properties(node: Node, now: float) -> dict[str, str]:
    """Of HEAD and GET on a file or directory, without Content-Length."""
    leased = node.lease is not None and node.lease.is_active(now)
    headers = changed(node) | permissions(is_directory=node.is_directory)
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Type": node.headers.get("content-type", "application/octet-stream"),
        "x-ms-blob-type": "BlockBlob",
        "x-ms-server-encrypted": "true",
        "x-ms-access-tier": "Hot",
        "x-ms-access-tier-inferred": "true",
        "x-ms-creation-time": http_date(node.created_at),
        "x-ms-resource-type": "directory" if node.is_directory else "file",
        "x-ms-lease-status": "locked" if leased else "unlocked",
        "x-ms-lease-state": node.lease.state(now) if node.lease is not None else "available",
    }
    headers |= {name.title(): value for name, value in node.headers.items() if name != "content-type"}
    headers |= {f"x-ms-meta-{name}": value for name, value in node.metadata.items()}
    if node.is_directory:
        headers["x-ms-meta-hdi_isfolder"] = "true"
    return headers

"""Conditional headers: If-Match, If-None-Match, If-(Un)modified-Since, and their x-ms-source- twins."""

from email.utils import parsedate_to_datetime

from libs.emulators.datalake.call import Call
from libs.emulators.datalake.errors import ServiceError, bad_request, conflict, precondition_failed
from libs.emulators.datalake.nodes import Node


def check_write(call: Call, node: Node | None) -> None:
    """Raise 412, or 409 for `If-None-Match: *` on what exists (how the service tells "already there")."""
    if node is not None and call.header("If-None-Match") == "*":
        code = "PathAlreadyExists" if call.is_dfs else "BlobAlreadyExists"
        raise conflict(code, f"The path {call.path!r} exists already.")
    if _fails(call, node, ""):
        raise precondition_failed("ConditionNotMet", "A condition of the request's headers is not met.")


def check_source(call: Call, node: Node) -> None:
    """Raise 412 if a condition on the source of a rename is not met."""
    if _fails(call, node, "x-ms-source-"):
        raise precondition_failed("SourceConditionNotMet", "A condition on the source is not met.")


def check_read(call: Call, node: Node) -> None:
    """Raise 412, or 304 where the caller has the content already."""
    if _is_unmodified(call, node, ""):
        raise ServiceError(304, "ConditionNotMet", "Not modified.")
    if _fails(call, node, ""):
        raise precondition_failed("ConditionNotMet", "A condition of the request's headers is not met.")


def _fails(call: Call, node: Node | None, prefix: str) -> bool:
    wanted = call.header(f"{prefix}If-Match")
    if wanted and (node is None or wanted not in {"*", node.etag}):
        return True
    if node is None:
        return False
    until = call.header(f"{prefix}If-Unmodified-Since")
    return _is_unmodified(call, node, prefix) or bool(until and int(node.modified_at) > _epoch(until))


def _is_unmodified(call: Call, node: Node, prefix: str) -> bool:
    unwanted = call.header(f"{prefix}If-None-Match")
    since = call.header(f"{prefix}If-Modified-Since")
    return bool(unwanted and unwanted in {"*", node.etag}) or bool(since and int(node.modified_at) <= _epoch(since))


def _epoch(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError as error:
        raise bad_request("InvalidHeaderValue", f"Not an HTTP date: {text!r}.") from error

"""Leases: who may write, and the five actions on them.

https://learn.microsoft.com/rest/api/storageservices/lease-blob
"""

import math
import uuid

from aiohttp import web

from libs.emulators.datalake.call import Call
from libs.emulators.datalake.conditions import check_write
from libs.emulators.datalake.errors import bad_request, conflict, precondition_failed
from libs.emulators.datalake.headers import changed
from libs.emulators.datalake.nodes import Lease, Node

_FINITE_SEC = range(15, 61)


def check_lease(call: Call, node: Node | None, header: str = "x-ms-lease-id") -> None:
    """Raise 412 unless the request shows the id of the active lease, or shows none and there is none."""
    shown = call.header(header)
    held = node.lease if node is not None and node.lease is not None and node.lease.is_active(call.now) else None
    if held is None:
        if shown:
            raise precondition_failed("LeaseNotPresentWithBlobOperation", "There is no active lease.")
    elif not shown:
        raise precondition_failed("LeaseIdMissing", "There is an active lease, and no lease id in the request.")
    elif shown != held.id:
        raise precondition_failed("LeaseIdMismatchWithBlobOperation", "The lease id is not that of the active lease.")


async def lease(call: Call) -> web.Response:
    """PUT ?comp=lease with x-ms-lease-action."""
    action = call.header("x-ms-lease-action")
    with call.account.transaction():
        node = call.node()
        check_write(call, node)
        if action == "acquire":
            return _acquired(call, node)
        if action not in {"renew", "change", "release", "break"}:
            raise bad_request("InvalidHeaderValue", f"Unknown x-ms-lease-action {action!r}.")
        held = node.lease
        if held is None:
            raise conflict("LeaseNotPresentWithLeaseOperation", "There is no lease.")
        if action == "break":
            return _broken(call, node, held)
        if call.header("x-ms-lease-id") != held.id:
            raise conflict("LeaseIdMismatchWithLeaseOperation", "The lease id is not that of the lease.")
        if action == "release":
            return _saved(call, node, None)
        if held.breaking:
            raise conflict("LeaseIsBrokenAndCannotBeRenewed", "The lease was broken.")
        if action == "change":
            return _saved(call, node, Lease(_proposed(call) or held.id, held.duration_sec, held.until))
        return _saved(call, node, Lease(held.id, held.duration_sec, call.now + held.duration_sec))


def _proposed(call: Call) -> str:
    return call.header("x-ms-proposed-lease-id")


def _acquired(call: Call, node: Node) -> web.Response:
    lease_id = _proposed(call) or str(uuid.uuid4())
    if node.lease is not None and node.lease.is_active(call.now) and node.lease.id != lease_id:
        raise conflict("LeaseAlreadyPresent", "There is a lease already.")
    text = call.header("x-ms-lease-duration") or "-1"
    if text != "-1" and (not text.isdecimal() or int(text) not in _FINITE_SEC):
        raise bad_request("InvalidHeaderValue", f"A lease lasts 15 to 60 seconds, or -1 for ever, not {text!r}.")
    duration = math.inf if text == "-1" else float(text)
    return _saved(call, node, Lease(lease_id, duration, call.now + duration), status=201)


def _broken(call: Call, node: Node, held: Lease) -> web.Response:
    left = max(0.0, held.until - call.now)
    asked = call.header("x-ms-lease-break-period")
    period = min(left, float(asked) if asked.isdecimal() else (0.0 if held.is_infinite else left))
    answer = _saved(call, node, Lease(held.id, held.duration_sec, call.now + period, breaking=True), status=202)
    answer.headers["x-ms-lease-time"] = str(math.ceil(period))
    return answer


def _saved(call: Call, node: Node, lease: Lease | None, *, status: int = 200) -> web.Response:
    node.lease = lease
    call.account.namespace.save(node)
    headers = changed(node)
    if lease is not None and not lease.breaking:
        headers["x-ms-lease-id"] = lease.id
    return web.Response(status=status, headers=headers)

"""Routes that Azure does not have: health, counts, and faults to test with."""

from typing import Any

import msgspec
from aiohttp import web

from ..broker.entities import Queue, Subscription
from ..broker.message import MessageState
from ..emulator import Emulator


def operations_routes(emulator: Emulator) -> list[web.RouteDef]:
    """Return the routes for one emulator."""

    async def health(_: web.Request) -> web.Response:
        return _json({"status": "healthy"})

    async def counts(_: web.Request) -> web.Response:
        return _json(_counts(emulator))

    async def drop_connections(_: web.Request) -> web.Response:
        return _json({"dropped": emulator.drop_connections()})

    async def expire_locks(_: web.Request) -> web.Response:
        return _json({"expired": emulator.expire_locks()})

    return [
        web.get("/health", health),
        web.get("/counts", counts),
        web.post("/faults/drop-connections", drop_connections),
        web.post("/faults/expire-locks", expire_locks),
    ]


def _counts(emulator: Emulator) -> dict[str, Any]:
    namespace = emulator.namespace
    return {
        "connections": len(emulator.connections),
        "entities": {inbox.path: _inbox_counts(inbox) for inbox in namespace.inboxes()},
        "topics": {topic.path: {"scheduled": topic.scheduled_count} for topic in namespace.topics.values()},
    }


def _inbox_counts(inbox: Queue | Subscription) -> dict[str, int]:
    by_state = inbox.messages.count_by_state()
    return {
        "active": by_state[MessageState.ACTIVE],
        "locked": inbox.messages.locked_count,
        "deferred": by_state[MessageState.DEFERRED],
        "scheduled": by_state[MessageState.SCHEDULED],
        "dead_letter": inbox.dead_letters.count_by_state().total(),
        "receivers": inbox.messages.consumer_count,
    }


def _json(content: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")

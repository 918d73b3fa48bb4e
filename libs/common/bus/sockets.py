"""Sockets of connections that broke, closed at once.

In azure-servicebus 7.15 `Connection.close` of a connection that failed marks it as ended before it disconnects, and
what is ended is not disconnected: its socket stays open until the garbage collector finds it. A service meets that with
every idle connection that the broker closes.
"""

from __future__ import annotations

from typing import Any

from azure.servicebus._pyamqp.aio._connection_async import Connection

_close = Connection.close


async def _close_with_socket(self: Connection, *args: Any, **kwargs: Any) -> None:
    try:
        await _close(self, *args, **kwargs)
    finally:
        await self._transport.close()  # type: ignore[no-untyped-call] # the SDK's; nothing happens where it is closed


def close_sockets_of_broken_connections() -> None:
    """Mend the SDK in this process; again does no harm."""
    Connection.close = _close_with_socket  # type: ignore[method-assign] # which is the mending

"""Transports that let ServiceBusAdministrationClient manage this emulator.

The client always speaks https to the host and port of its connection string; the emulator's management speaks http on a
port of its own. Give the client one of these transports, and the ordinary connection string::

    ServiceBusAdministrationClient.from_connection_string(
        connection_string, transport=AsyncEmulatorTransport(f"http://localhost:{admin_port}")
    )
"""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from azure.core.pipeline.transport import (
    AioHttpTransport,
    AsyncHttpResponse,
    HttpRequest,
    HttpResponse,
    RequestsTransport,
)


class AsyncEmulatorTransport(AioHttpTransport):  # type: ignore[misc]  # azure exports it lazily, untyped
    """For ``azure.servicebus.aio.management``. ``admin_url`` is the emulator's, such as ``http://localhost:5300``."""

    def __init__(self, admin_url: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._admin_url = admin_url

    async def send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        """Send a request to the emulator instead."""
        request.url = _redirected(request.url, self._admin_url)
        response: AsyncHttpResponse = await super().send(request, **kwargs)
        return response


class EmulatorTransport(RequestsTransport):  # type: ignore[misc]  # azure exports it lazily, untyped
    """For ``azure.servicebus.management``. ``admin_url`` is the emulator's, such as ``http://localhost:5300``."""

    def __init__(self, admin_url: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._admin_url = admin_url

    def send(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Send a request to the emulator instead."""
        request.url = _redirected(request.url, self._admin_url)
        response: HttpResponse = super().send(request, **kwargs)
        return response


def _redirected(url: str, admin_url: str) -> str:
    admin = urlsplit(admin_url)
    return urlunsplit(urlsplit(url)._replace(scheme=admin.scheme, netloc=admin.netloc))

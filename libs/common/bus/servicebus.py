"""The way to Azure Service Bus, or to its emulator, from the settings."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from azure.servicebus.aio import ServiceBusClient

from libs.common.bus.deadletters import DeadLetters
from libs.common.bus.errors import BusSettingsError
from libs.common.bus.publisher import ServiceBusPublisher
from libs.common.bus.receiver import SubscriptionReceiver
from libs.common.bus.sockets import close_sockets_of_broken_connections
from libs.common.settings import CommonSettings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

SEND_RETRIES = 3
"""Reconnects that the SDK makes inside one send: a broker that restarts is back by then."""


class Bus:
    """One process's clients. Nothing connects before it is used; close it last of all that uses it."""

    def __init__(self, settings: CommonSettings, *, credential: AsyncTokenCredential | None = None) -> None:
        close_sockets_of_broken_connections()
        self._stack = AsyncExitStack()
        self._sending, own = _client(settings, credential, retry_total=SEND_RETRIES)
        self._receiving, _ = _client(settings, credential or own, retry_total=0)
        if own is not None:
            self._stack.push_async_callback(own.close)
        self._stack.push_async_callback(self._sending.close)
        self._stack.push_async_callback(self._receiving.close)
        self.publisher = ServiceBusPublisher(self._sending)
        self._stack.push_async_callback(self.publisher.aclose)

    def receiver(self, topic: str, subscription: str) -> SubscriptionReceiver:
        """The consuming end of a subscription; open and close it yourself."""
        return SubscriptionReceiver(self._receiving, topic, subscription)

    def dead_letters(self, topic: str, subscription: str) -> DeadLetters:
        """What was put aside in a subscription."""
        dead_letters = DeadLetters(self._receiving, self.publisher, topic, subscription)
        self._stack.push_async_callback(dead_letters.aclose)
        return dead_letters

    async def aclose(self) -> None:
        """Finish sends under way, then close publisher, clients, and the credential if it was made here."""
        await self._stack.aclose()


def connect(settings: CommonSettings, *, credential: AsyncTokenCredential | None = None) -> Bus:
    """The bus that the settings name: a connection string first, else the namespace with an identity.

    `credential` None means DefaultAzureCredential. Raises BusSettingsError when neither is set or the string is wrong.
    """
    return Bus(settings, credential=credential)


def _client(
    settings: CommonSettings, credential: AsyncTokenCredential | None, *, retry_total: int
) -> tuple[ServiceBusClient, AsyncTokenCredential | None]:
    """A client, and the credential if one had to be made for it."""
    if settings.servicebus_connection_string is not None:
        try:
            return (
                ServiceBusClient.from_connection_string(
                    settings.servicebus_connection_string.get_secret_value(), retry_total=retry_total
                ),
                None,
            )
        except ValueError:
            # The SDK's text may quote the string, which holds the key.
            raise BusSettingsError("SERVICEBUS_CONNECTION_STRING is no connection string of Service Bus.") from None
    if settings.servicebus_namespace is None:
        raise BusSettingsError("Neither SERVICEBUS_CONNECTION_STRING nor SERVICEBUS_NAMESPACE is set.")
    own: AsyncTokenCredential | None = None
    if credential is None:
        # Imported here, because it takes long and a connection string does not need it.
        from azure.identity.aio import DefaultAzureCredential

        credential = own = DefaultAzureCredential()
    return ServiceBusClient(settings.servicebus_namespace, credential, retry_total=retry_total), own

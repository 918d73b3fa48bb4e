"""The configured bus, for as long as a command needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from libs.common.settings import CommonSettings

if TYPE_CHECKING:
    from libs.common.bus.servicebus import Bus


@asynccontextmanager
async def open_bus(settings: CommonSettings) -> AsyncIterator[Bus]:
    """Raises BusSettingsError where none is configured."""
    # Imported here, because it takes a fifth of the time of `retl --help`, and most commands do without.
    from libs.common.bus.servicebus import connect

    bus = connect(settings)
    try:
        yield bus
    finally:
        await bus.aclose()

"""The dead letters of several services."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

from libs.cli.consumers import CONSUMERS

if TYPE_CHECKING:
    from libs.common.bus.deadletters import DeadLetteredMessage
    from libs.common.bus.servicebus import Bus


async def letters_of(
    bus: Bus, services: Iterable[str], *, limit: int | None = None
) -> dict[str, list[DeadLetteredMessage]]:
    """What each has, oldest first, `limit` of them at most.

    All subscriptions are looked at at once: opening a link and closing it again takes the SDK a second.
    Raises BusError.
    """
    names = list(services)
    found = await asyncio.gather(*(_letters(bus, name, limit) for name in names), return_exceptions=True)
    letters: dict[str, list[DeadLetteredMessage]] = {}
    for name, result in zip(names, found, strict=True):
        if isinstance(result, BaseException):
            raise result
        letters[name] = result
    return letters


async def _letters(bus: Bus, service: str, limit: int | None) -> list[DeadLetteredMessage]:
    async with aclosing(bus.dead_letters(CONSUMERS[service], service)) as letters:
        return [letter async for letter in letters.list(limit=limit)]

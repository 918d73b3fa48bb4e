"""The state tables for a command that a person waits for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.settings import CommonSettings
from libs.common.state import State, open_state

PATIENCE_SEC = 5.0
"""Long enough for a busy table; a person rather hears that the database is away than waits for it."""


@asynccontextmanager
async def reading_state(settings: CommonSettings) -> AsyncIterator[State]:
    """The state tables at STATE_URL, closed in the end. Raises StateUrlError, StateDriverError."""
    state = open_state(settings.state_url, patience_sec=PATIENCE_SEC)
    try:
        yield state
    finally:
        await state.aclose()

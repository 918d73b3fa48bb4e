"""Duplicate detection: the message ids that an entity saw within its window."""

from collections import deque
from typing import Any

from .journal import Journal
from .scheduler import Scheduler


class DuplicateHistory:
    """The history of one queue or topic. An id counts from its first sight, whatever became of the message."""

    def __init__(self, path: str, scheduler: Scheduler, journal: Journal) -> None:
        self._path = path
        self._scheduler = scheduler
        self._journal = journal
        self._expiry_by_id: dict[str, int] = {}
        self._in_order: deque[tuple[int, str]] = deque()

    def is_duplicate(self, message_id: Any, window_ms: int) -> bool:
        """Tell whether the id was seen within the window.

        Remember it if not. A message without an id is never a duplicate.
        """
        if message_id is None:
            return False
        now_ms = self._scheduler.now_ms()
        self._forget_expired(now_ms)
        key = f"{type(message_id).__name__}:{message_id}"
        if key in self._expiry_by_id:
            return True
        self.restore(key, now_ms + window_ms)
        self._journal.remember_message_id(self._path, key, now_ms + window_ms)
        return False

    def restore(self, key: str, expires_ms: int) -> None:
        """Put back an entry that the journal kept; in the order of expiry."""
        self._expiry_by_id[key] = expires_ms
        self._in_order.append((expires_ms, key))

    def _forget_expired(self, now_ms: int) -> None:
        expired = False
        while self._in_order and self._in_order[0][0] <= now_ms:
            _, key = self._in_order.popleft()
            del self._expiry_by_id[key]
            expired = True
        if expired:
            self._journal.forget_message_ids(self._path, now_ms)

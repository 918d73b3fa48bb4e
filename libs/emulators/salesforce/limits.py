"""The org's daily allowances, counted down as calls and batches are used. In memory: a restart begins a new day."""

from __future__ import annotations

import threading

from libs.emulators.salesforce.errors import ApiError


class Usage:
    """Counts API calls and bulk batches against their daily maxima. Safe to use from several threads."""

    def __init__(self, *, max_api_calls: int, max_batches: int) -> None:
        self.max_api_calls = max_api_calls
        self.max_batches = max_batches
        self.api_calls = 0
        self.batches = 0
        self._lock = threading.Lock()

    def take_api_call(self) -> None:
        """Count one API call. Raises ApiError REQUEST_LIMIT_EXCEEDED when none is left."""
        with self._lock:
            if self.api_calls >= self.max_api_calls:
                raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            self.api_calls += 1

    def take_batch(self) -> bool:
        """Count one bulk batch; False when none is left."""
        with self._lock:
            if self.batches >= self.max_batches:
                return False
            self.batches += 1
            return True

    def return_batch(self) -> None:
        """Give back a batch that turned out to hold no rows."""
        with self._lock:
            self.batches -= 1

    def rendered(self) -> dict[str, dict[str, int]]:
        """Render as the limits resource."""

        def limit(maximum: int, used: int = 0) -> dict[str, int]:
            return {"Max": maximum, "Remaining": maximum - used}

        return {
            "DailyApiRequests": limit(self.max_api_calls, self.api_calls),
            "DailyAsyncApexExecutions": limit(250_000),
            "DailyBulkApiBatches": limit(self.max_batches, self.batches),
            "DailyBulkV2QueryFileStorageMB": limit(976_562),
            "DailyBulkV2QueryJobs": limit(10_000),
            "DataStorageMB": limit(10_240),
            "FileStorageMB": limit(10_240),
        }

    def header(self) -> str:
        """The value of the ``Sforce-Limit-Info`` response header."""
        return f"api-usage={self.api_calls}/{self.max_api_calls}"

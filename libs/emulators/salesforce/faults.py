"""Settable faults: what a test makes the org do wrong, and how often.

A fault is one JSON object with a ``kind``; most have ``times`` (how often it strikes, null meaning always). ``call``
names the kind of call it strikes (see ``web/app.py``; ``*`` means every one). Counters live in memory only.
"""

from __future__ import annotations

import threading
from typing import Literal, TypeVar

import msgspec

from libs.emulators.salesforce.errors import RowFailure

CPU_CODE = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
CPU_MESSAGE = "CustomerWeeklyMetricTrigger: System.LimitException: Apex CPU time limit exceeded"
LOCK_MESSAGE = "unable to obtain exclusive access to this record or 1 records"


class _Fault(msgspec.Struct, tag_field="kind", kw_only=True, forbid_unknown_fields=True):
    times: int | None = 1


class RowLock(_Fault, tag="row_lock", kw_only=True):
    """Refuse rows with UNABLE_TO_LOCK_ROW: given external ids (``times`` each), or every ``every``-th row."""

    external_ids: tuple[str, ...] = ()
    every: int = 0


class RowError(_Fault, tag="row_error", kw_only=True):
    """Refuse given external ids with any code, by default for ever."""

    external_ids: tuple[str, ...]
    code: str
    message: str
    fields: tuple[str, ...] = ()
    times: int | None = None


class BatchError(_Fault, tag="batch_error", kw_only=True):
    """Refuse all rows of a batch or call with more than ``max_rows`` rows, as an Apex limit does."""

    max_rows: int
    code: str = CPU_CODE
    message: str = CPU_MESSAGE
    times: int | None = None


class JobFailed(_Fault, tag="job_failed", kw_only=True):
    """End a bulk job as Failed after ``after_rows`` rows; the rest stays unprocessed."""

    after_rows: int
    message: str = "InternalServerError : Unexpected failure; the remaining records were not processed"


class SlowJob(_Fault, tag="slow_job", kw_only=True):
    """Keep a bulk job InProgress for ``seconds`` before its first row is processed."""

    seconds: float


class SessionExpired(_Fault, tag="session_expired", kw_only=True):
    """End all sessions after ``after_calls`` more calls; ``status`` 400 gives the InvalidSessionId variant."""

    after_calls: int = 0
    status: Literal[400, 401] = 401


class HttpError(_Fault, tag="http_error", kw_only=True):
    """Answer a call with an error instead of doing it."""

    call: str = "*"
    status: int = 503
    code: str = "SERVER_UNAVAILABLE"
    message: str = "The server is temporarily unable to service your request"
    retry_after_sec: int | None = None


class DroppedConnection(_Fault, tag="dropped_connection", kw_only=True):
    """Cut the connection before a call is done, after it is done but unanswered, or in the middle of an upload."""

    call: str
    when: Literal["before", "during", "after"] = "before"
    after_bytes: int = 0


class SlowResponse(_Fault, tag="slow_response", kw_only=True):
    """Answer a call only after ``seconds``."""

    seconds: float
    call: str = "*"


Fault = (
    RowLock
    | RowError
    | BatchError
    | JobFailed
    | SlowJob
    | SessionExpired
    | HttpError
    | DroppedConnection
    | SlowResponse
)
_Kind = TypeVar("_Kind", bound=_Fault)
_decoder = msgspec.json.Decoder(list[Fault] | Fault)


def decode_faults(text: str | bytes) -> list[Fault]:
    """Read one fault or a list of them. Raises msgspec.DecodeError with the place and the fault's fault."""
    decoded = _decoder.decode(text)
    return decoded if isinstance(decoded, list) else [decoded]


class FaultBoard:
    """The faults that are set, and how often each may still strike. Safe to use from several threads."""

    def __init__(self, faults: list[Fault] | None = None) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._rows = 0
        self._tries: dict[tuple[int, str], int] = {}
        self.rows_armed = False
        self.add(faults or [])

    def add(self, faults: list[Fault]) -> None:
        """Set further faults; they strike in the order in which they were set."""
        with self._lock:
            self._faults.extend(faults)
            self._arm()

    def clear(self) -> None:
        """Take all faults away."""
        with self._lock:
            self._faults.clear()
            self._tries.clear()
            self._arm()

    def listed(self) -> list[Fault]:
        """Return the faults that can still strike, with the remaining ``times``."""
        with self._lock:
            return list(self._faults)

    def take(self, kind: type[_Kind], call: str | None = None, *, when: str | None = None) -> _Kind | None:
        """Return the first fault of this kind that applies, and count the strike."""
        with self._lock:
            for fault in self._faults:
                if not isinstance(fault, kind):
                    continue
                if call is not None and getattr(fault, "call", "*") not in ("*", call):
                    continue
                if when is None or getattr(fault, "when", None) == when:
                    self._strike(fault)
                    return fault
        return None

    def session_ends(self) -> SessionExpired | None:
        """Count one call towards the session faults; return the fault if the sessions end now."""
        with self._lock:
            fault = next((one for one in self._faults if isinstance(one, SessionExpired)), None)
            if fault is None:
                return None
            tries = self._tries.get((id(fault), ""), 0)
            if tries < fault.after_calls:
                self._tries[(id(fault), "")] = tries + 1
                return None
            self._tries.pop((id(fault), ""), None)
            self._strike(fault)
            return fault

    def batch_failure(self, rows: int) -> RowFailure | None:
        """Return why all of a batch's rows fail, if a fault says so for a batch of this size."""
        with self._lock:
            for fault in self._faults:
                if isinstance(fault, BatchError) and rows > fault.max_rows:
                    self._strike(fault)
                    return RowFailure(fault.code, fault.message)
        return None

    def row_failure(self, external_id: str) -> RowFailure | None:
        """Return why the row with this external id fails, if a fault says so."""
        with self._lock:
            self._rows += 1
            for fault in self._faults:
                if isinstance(fault, RowLock) and fault.every and self._rows % fault.every == 0:
                    self._strike(fault)
                    return RowFailure("UNABLE_TO_LOCK_ROW", LOCK_MESSAGE)
                if isinstance(fault, RowLock | RowError) and self._strikes_id(fault, external_id):
                    if isinstance(fault, RowError):
                        return RowFailure(fault.code, fault.message, fault.fields)
                    return RowFailure("UNABLE_TO_LOCK_ROW", LOCK_MESSAGE)
        return None

    def _strikes_id(self, fault: RowLock | RowError, external_id: str) -> bool:
        if external_id not in fault.external_ids:
            return False
        tries = self._tries.get((id(fault), external_id), 0)
        self._tries[(id(fault), external_id)] = tries + 1
        return fault.times is None or tries < fault.times

    def _strike(self, fault: Fault | _Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self._faults = [one for one in self._faults if one is not fault]
            self._arm()

    def _arm(self) -> None:
        """Row faults are looked up for every row; most runs have none and should not pay for it."""
        self.rows_armed = any(isinstance(fault, RowLock | RowError) for fault in self._faults)

"""Settable faults: what a test makes the org do wrong, and how often.

A fault is one JSON object with a ``kind``; most have ``times`` (how often it strikes, null meaning always). ``call``
names the kind of call it strikes (``*`` means every one). Counters live in memory only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

import msgspec

from libs.emulators.salesforce.errors import RowFailure

CPU_CODE = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
CPU_MESSAGE = "CustomerWeeklyMetricTrigger: System.LimitException: Apex CPU time limit exceeded"
LOCK_MESSAGE = "unable to obtain exclusive access to this record or 1 records"

CallKind = Literal[
    "token",
    "soap_login",
    "versions",
    "resources",
    "limits",
    "query",
    "query_more",
    "sobjects",
    "describe",
    "record_read",
    "record_write",
    "collections",
    "job_create",
    "job_list",
    "job_upload",
    "job_state",
    "job_poll",
    "job_delete",
    "job_results",
]
"""What a call is for; the routing table gives every address one of these."""

_AnyCall = CallKind | Literal["*"]
_Times = Annotated[int, msgspec.Meta(ge=1)] | None
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Fault(msgspec.Struct, tag_field="kind", kw_only=True, frozen=True, forbid_unknown_fields=True):
    times: _Times = 1


class RowLock(_Fault, tag="row_lock", kw_only=True, frozen=True):
    """Refuse rows with UNABLE_TO_LOCK_ROW: given external ids (``times`` each), or every ``every``-th row."""

    external_ids: tuple[str, ...] = ()
    every: _Count = 0


class RowError(_Fault, tag="row_error", kw_only=True, frozen=True):
    """Refuse given external ids with any code, by default for ever."""

    external_ids: tuple[str, ...]
    code: str
    message: str
    fields: tuple[str, ...] = ()
    times: _Times = None


class BatchRefused(_Fault, tag="batch_error", kw_only=True, frozen=True):
    """Refuse all rows of a batch or call with more than ``max_rows`` rows, as an Apex limit does."""

    max_rows: _Count
    code: str = CPU_CODE
    message: str = CPU_MESSAGE
    times: _Times = None


class JobFailed(_Fault, tag="job_failed", kw_only=True, frozen=True):
    """End a bulk job as Failed after ``after_rows`` rows; the rest stays unprocessed."""

    after_rows: _Count
    message: str = "InternalServerError : Unexpected failure; the remaining records were not processed"


class ResultPages(_Fault, tag="result_pages", kw_only=True, frozen=True):
    """Give out the results of jobs in pages of ``rows``, each but the last with a ``Sforce-Locator`` for the next."""

    rows: Annotated[int, msgspec.Meta(ge=1)]
    times: _Times = None


class GzipResults(_Fault, tag="gzip_results", kw_only=True, frozen=True):
    """Compress the results of jobs for a client that accepts it, as the real one does."""

    times: _Times = None


class WrongResults(_Fault, tag="wrong_results", kw_only=True, frozen=True):
    """Leave the last ``lost`` rows out of a result set; ``repeated`` gives its first row once more for each of them."""

    which: Literal["successfulResults", "failedResults", "unprocessedrecords"] = "successfulResults"
    lost: _Count = 1
    repeated: bool = False


class SlowJob(_Fault, tag="slow_job", kw_only=True, frozen=True):
    """Keep a bulk job InProgress for ``seconds`` before its first row is processed."""

    seconds: _Seconds


class SessionExpired(_Fault, tag="session_expired", kw_only=True, frozen=True):
    """End all sessions after ``after_calls`` more calls; ``status`` 400 gives the InvalidSessionId variant."""

    after_calls: _Count = 0
    status: Literal[400, 401] = 401


class HttpError(_Fault, tag="http_error", kw_only=True, frozen=True):
    """Answer a call with an error instead of doing it."""

    call: _AnyCall = "*"
    status: int = 503
    code: str = "SERVER_UNAVAILABLE"
    message: str = "The server is temporarily unable to service your request"
    retry_after_sec: int | None = None


class DroppedConnection(_Fault, tag="dropped_connection", kw_only=True, frozen=True):
    """Cut the connection before a call is done, after it is done but unanswered, or ``during`` an upload or download.

    ``during`` strikes ``job_upload`` and ``job_results`` when ``after_bytes`` have gone over the wire.
    """

    call: CallKind
    when: Literal["before", "during", "after"] = "before"
    after_bytes: _Count = 0


class SlowResponse(_Fault, tag="slow_response", kw_only=True, frozen=True):
    """Answer a call only after ``seconds``."""

    seconds: _Seconds
    call: _AnyCall = "*"


Fault = (
    RowLock
    | RowError
    | BatchRefused
    | JobFailed
    | ResultPages
    | WrongResults
    | GzipResults
    | SlowJob
    | SessionExpired
    | HttpError
    | DroppedConnection
    | SlowResponse
)
_Kind = TypeVar("_Kind", bound=_Fault)
_decoder = msgspec.json.Decoder(list[Fault] | Fault)


def decode_faults(text: str | bytes) -> list[Fault]:
    """Read one fault or a list of them. Raises msgspec.DecodeError with the place and what is wrong there."""
    decoded = _decoder.decode(text)
    return decoded if isinstance(decoded, list) else [decoded]


@dataclass(slots=True)
class _Armed:
    """One fault that is set, and what it has done."""

    fault: Fault
    left: int | None
    calls: int = 0
    tries: dict[str, int] = field(default_factory=dict)


class FaultBoard:
    """The faults that are set, and how often each may still strike. Safe to use from several threads."""

    def __init__(self, faults: list[Fault] | None = None) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._rows = 0
        self.rows_armed = False
        """Whether any fault looks at single rows; most runs have none and should not pay for it on every row."""
        self.add(faults or [])

    def add(self, faults: list[Fault]) -> None:
        """Set further faults; they strike in the order in which they were set."""
        with self._lock:
            self._armed += [_Armed(fault, fault.times) for fault in faults]
            self._note_row_faults()

    def clear(self) -> None:
        """Take all faults away."""
        with self._lock:
            self._armed.clear()
            self._rows = 0
            self._note_row_faults()

    def listed(self) -> list[Fault]:
        """Return the faults that are still set, with the ``times`` that are left of each."""
        with self._lock:
            return [msgspec.structs.replace(armed.fault, times=armed.left) for armed in self._armed]

    def take(
        self, kind: type[_Kind], call: str | None = None, *, when: str | None = None, which: str | None = None
    ) -> _Kind | None:
        """Return the first fault of this kind that applies, and count the strike."""
        with self._lock:
            for armed, fault in self._of(kind):
                called = getattr(fault, "call", "*")
                asked = {"when": when, "which": which}
                fits = all(value is None or getattr(fault, name, None) == value for name, value in asked.items())
                if fits and (call is None or called in ("*", call)):
                    self._strike(armed)
                    return fault
        return None

    def session_ends(self) -> SessionExpired | None:
        """Count one call towards the session faults; return the fault if the sessions end now."""
        with self._lock:
            for armed, fault in self._of(SessionExpired):
                armed.calls += 1
                if armed.calls <= fault.after_calls:
                    return None
                armed.calls = 0
                self._strike(armed)
                return fault
        return None

    def batch_failure(self, rows: int) -> RowFailure | None:
        """Return why all of a batch's rows fail, if a fault says so for a batch of this size."""
        with self._lock:
            for armed, fault in self._of(BatchRefused):
                if rows > fault.max_rows:
                    self._strike(armed)
                    return RowFailure(fault.code, fault.message)
        return None

    def row_failure(self, external_id: str) -> RowFailure | None:
        """Return why the row with this external id fails, if a fault says so."""
        with self._lock:
            self._rows += 1
            for armed, lock in self._of(RowLock):
                if lock.every and self._rows % lock.every == 0:
                    self._strike(armed)
                    return RowFailure("UNABLE_TO_LOCK_ROW", LOCK_MESSAGE)
                if self._strikes_id(armed, lock.external_ids, external_id):
                    return RowFailure("UNABLE_TO_LOCK_ROW", LOCK_MESSAGE)
            for armed, error in self._of(RowError):
                if self._strikes_id(armed, error.external_ids, external_id):
                    return RowFailure(error.code, error.message, error.fields)
        return None

    def _of(self, kind: type[_Kind]) -> Iterator[tuple[_Armed, _Kind]]:
        for armed in list(self._armed):
            if isinstance(armed.fault, kind):
                yield armed, armed.fault

    @staticmethod
    def _strikes_id(armed: _Armed, external_ids: tuple[str, ...], external_id: str) -> bool:
        """Count one try of a row; ``times`` holds for each external id of its own."""
        if external_id not in external_ids:
            return False
        tries = armed.tries.get(external_id, 0)
        armed.tries[external_id] = tries + 1
        return armed.fault.times is None or tries < armed.fault.times

    def _strike(self, armed: _Armed) -> None:
        if armed.left is None:
            return
        armed.left -= 1
        if armed.left == 0:
            self._armed.remove(armed)
            self._note_row_faults()

    def _note_row_faults(self) -> None:
        self.rows_armed = any(isinstance(armed.fault, RowLock | RowError) for armed in self._armed)

"""What a sync has recorded about itself in the state tables, so that a crash at any point is taken up where it stood.

Part 0 of the stage is the header: which round is under way, its plan and its waves. Parts 1 and on are the sendings (a
Bulk job or a call of the Collections API), each with its place in its life. Every change compares revisions: whoever
finds a part moved by somebody else stops before it has an effect.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import msgspec

from libs.common.clock import Clock
from libs.common.state import PartRow, Stage, State
from services.sf_sync.errors import SyncTakenOverError
from services.sf_sync.mapping import ResolvedMapping
from services.sf_sync.outcomes import Kind
from services.sf_sync.verdict import Counts, TopCode

_STAGE: Final = Stage.SALESFORCE_SYNC
_HEADER: Final = 0


class Way(StrEnum):
    """How rows travel."""

    BULK = "bulk"
    COLLECTIONS = "collections"


class SendState(StrEnum):
    """Life of one sending; each step is recorded before the call that it names is made."""

    PLANNED = "planned"
    """Nothing of it is in Salesforce."""
    CREATED = "created"
    """A job is open, its id recorded."""
    UPLOADING = "uploading"
    """The upload may or may not have arrived."""
    CLOSING = "closing"
    """The data is there; the job may or may not have been handed over."""
    RUNNING = "running"
    """Salesforce works on it, or has."""
    CALLING = "calling"
    """A Collections call may or may not have had its effect."""
    DONE = "done"
    """The outcome of every row is in the lake."""
    GIVEN_UP = "given_up"
    """A newer run of the week has taken over; the outcomes are not known."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more is to be done about it."""
        return self in {SendState.DONE, SendState.GIVEN_UP}


class Wave(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are sent in one go: wave 0 the changes, each further one what failed and may yet succeed."""

    way: Way
    file: str
    """Canonical rows, Parquet in the lake."""
    rows: int
    rows_per_send: int
    sizes: list[int]
    """Rows of each sending, in the file's order; for Bulk there is a CSV file to each."""
    first_part: int

    def csv_file(self, number: int) -> str:
        """The CSV of one of a Bulk wave's sendings."""
        return f"{self.file.removesuffix('.parquet')}/part-{number:05d}.csv"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one round is to send, fixed before the first row leaves."""

    folder: str
    mapping: ResolvedMapping
    fingerprint: str
    org: str
    rows: int
    changes: int
    unchanged: int
    invalid: int
    absent: int
    """Rows of the snapshot that the signals no longer have; they stay in Salesforce."""
    full_sync: bool
    snapshot_files: list[str]
    """What the changes were found against, as the intents."""
    intent_files: list[str]

    @property
    def changes_file(self) -> str:
        """Canonical rows to send, with `_operation`."""
        return f"{self.folder}/wave-00.parquet"

    @property
    def invalid_file(self) -> str:
        """Canonical rows that are not sent, with the reason."""
        return f"{self.folder}/invalid.parquet"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a round ended."""

    counts: Counts
    top: list[TopCode]
    finished_at: datetime
    retried: int
    jobs: int
    api_calls: int
    bulk_batches: int


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Where the sync of a run stands. A round begins with its plan and ends with its result."""

    round: int = 0
    plan: Plan | None = None
    waves: list[Wave] = []
    result: Result | None = None
    next_part: int = 1
    created: int = 0
    """Accepted in earlier rounds, as `updated`: they are unchanged in this one, and still this run's work."""
    updated: int = 0
    api_calls: int = 0
    """Made in this round by attempts that ended in an error."""
    taken_over: bool = False
    """A newer run of the week has the sync: nothing more is to be sent."""

    @property
    def planned(self) -> Plan:
        """The plan of a round that has one."""
        if self.plan is None:
            raise AssertionError("a round that sends has a plan")
        return self.plan

    @property
    def ended(self) -> Result:
        """The result of a round that has one."""
        if self.result is None:
            raise AssertionError("a round that is reported on has a result")
        return self.result


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """One sending."""

    wave: int
    number: int
    rows: int
    state: SendState = SendState.PLANNED
    job_id: str | None = None
    failed: dict[Kind, int] = {}
    """Once done: rows by what to do with them."""


T = TypeVar("T", Header, Send)


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A recorded part and the revision at which it was read."""

    part: int
    revision: int
    value: T


class Ledger:
    """Reads and moves the records of one run's sync. Raises StateError, and SyncTakenOverError as said above."""

    def __init__(self, state: State, run_id: str, clock: Clock) -> None:
        self._state, self._run_id, self._clock = state, run_id, clock

    async def header(self) -> Entry[Header]:
        """Part 0; recorded now if it is not there."""
        return await self._ensure(_HEADER, Header(), rows=0)

    async def send(self, part: int, planned: Send) -> Entry[Send]:
        """A sending; recorded as planned if it is not there."""
        return await self._ensure(part, planned, rows=planned.rows)

    async def sends(self) -> list[Entry[Send]]:
        """All sendings on record, of all rounds."""
        rows = await self._state.parts(self._run_id, _STAGE, first=_HEADER + 1)
        return [_entry(row, Send) for row in rows]

    async def plan_waves(self, header: Entry[Header], plan: Plan, waves: list[Wave]) -> Entry[Header]:
        """Record what the round sends; `waves` are all of its waves so far."""
        next_part = waves[-1].first_part + len(waves[-1].sizes) if waves else header.value.next_part
        return await self.move(header, plan=plan, waves=waves, next_part=next_part)

    async def fence(self) -> Header | None:
        """Take the header away from whoever works with it, for ever; None if this sync has never begun."""
        while True:
            row = await self._state.get_part(self._run_id, _STAGE, _HEADER)
            if row is None:
                return None
            header = _entry(row, Header)
            if header.value.taken_over:
                return header.value
            with suppress(SyncTakenOverError):  # its worker was faster; once more
                return (await self.move(header, taken_over=True)).value

    async def move(self, entry: Entry[T], **changes: Any) -> Entry[T]:
        """Record a change of the entry. Raises SyncTakenOverError if somebody else has changed it since it was read."""
        value = msgspec.structs.replace(entry.value, **changes)
        row = await self._state.update_part(
            self._run_id, _STAGE, entry.part, entry.revision, details=msgspec.to_builtins(value)
        )
        if row is None:
            raise SyncTakenOverError(f"Part {entry.part} of run {self._run_id}'s sync was moved by somebody else.")
        return _entry(row, type(value))

    async def _ensure(self, part: int, value: T, *, rows: int) -> Entry[T]:
        row = await self._state.get_part(self._run_id, _STAGE, part)
        if row is None:
            now, details = self._clock.now(), msgspec.to_builtins(value)
            row = await self._state.record_part(self._run_id, _STAGE, part, now, row_count=rows, details=details)
        return _entry(row, type(value))


def _entry(row: PartRow, kind: type[T]) -> Entry[T]:
    return Entry(row.part, row.revision, msgspec.convert(row.details, kind))

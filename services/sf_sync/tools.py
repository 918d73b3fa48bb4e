"""What every part of a sync works with."""

from dataclasses import dataclass
from pathlib import Path

from libs.common import synclog
from libs.common.clock import Clock
from libs.common.lake import Lake
from libs.common.state import Run, State
from services.sf_sync.bulk import BulkClient
from services.sf_sync.ledger import Header, Ledger
from services.sf_sync.mapping import Mapping
from services.sf_sync.session import SalesforceSession
from services.sf_sync.settings import SfSyncSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What syncs are made with; one set a process."""

    settings: SfSyncSettings
    state: State
    lake: Lake
    clock: Clock
    scratch: Path
    session: SalesforceSession
    mapping: Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at the sync of one run: its tools, and what is on record of earlier ones."""

    tools: Tools
    run: Run
    number: int
    full: bool
    """Asked to send every row, not only what changed."""
    ledger: Ledger
    bulk: BulkClient
    calls_before: int
    """HTTP calls that the session had made when the attempt began."""

    @classmethod
    def begin(cls, tools: Tools, run: Run, *, number: int, full: bool) -> "Attempt":
        """Makes no call yet."""
        return cls(
            tools=tools,
            run=run,
            number=number,
            full=full,
            ledger=Ledger(tools.state, run.run_id, tools.clock),
            bulk=BulkClient(tools.session),
            calls_before=tools.session.calls,
        )

    @property
    def calls(self) -> int:
        """HTTP calls made in this attempt."""
        return self.tools.session.calls - self.calls_before

    def rank(self, header: Header) -> str:
        """Of the files that the round under way leaves in the sync logs."""
        return synclog.rank_of(self.run.requested_at, self.run.run_id, header.round)

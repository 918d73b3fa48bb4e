"""What one running org consists of; the endpoints get everything from here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

from libs.emulators.salesforce.auth import Authenticator
from libs.emulators.salesforce.bulk.jobs import JobStore
from libs.emulators.salesforce.database import Database
from libs.emulators.salesforce.faults import FaultBoard
from libs.emulators.salesforce.limits import Usage
from libs.emulators.salesforce.schema import Schema
from libs.emulators.salesforce.soql.cursors import Cursors
from libs.emulators.salesforce.values import datetime_text

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Org:
    """The parts of the org. Blocking work goes through ``read`` (any thread) or ``write`` (the one writer thread)."""

    schema: Schema
    database: Database
    jobs: JobStore
    auth: Authenticator
    faults: FaultBoard
    usage: Usage
    cursors: Cursors
    calls: Counter[str] = field(default_factory=Counter)
    readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, thread_name_prefix="read"))
    writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="write"))

    def now(self) -> str:
        """The time as Salesforce text, UTC, to the millisecond."""
        return datetime_text(datetime.now(UTC))

    async def read(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run blocking work that only reads."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, lambda: work(*args, **kwargs))

    async def write(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run blocking work that may change the database."""
        return await asyncio.get_running_loop().run_in_executor(self.writer, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Let the threads finish what they do, then close the database."""
        self.readers.shutdown()
        self.writer.shutdown()
        self.database.close()

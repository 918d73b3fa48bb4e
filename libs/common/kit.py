"""What every service is: a description of itself, and the kit of collaborators that its handler is made with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from structlog.typing import FilteringBoundLogger

from libs.common.alerts import Alerts
from libs.common.clock import Clock
from libs.common.lake import Lake
from libs.common.messages import Message
from libs.common.metrics import Metrics
from libs.common.outbox import Outbox
from libs.common.outcome import Outcome
from libs.common.settings import ServiceSettings
from libs.common.state import RunStatus, Stage, State

M = TypeVar("M", bound=Message)
S = TypeVar("S", bound=ServiceSettings)

Handler = Callable[[M], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What a service's `build` gets to make its handler with. The kit's owner closes it all."""

    settings: ServiceSettings
    state: State
    lake: Lake
    outbox: Outbox
    clock: Clock
    alerts: Alerts
    log: FilteringBoundLogger
    """Knows the service; inside a handler also run, correlation and message."""
    scratch: Path
    """A folder of this process alone, for temporary files; gone when it ends."""
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Generic[M, S]):
    """One service, described."""

    name: str
    """Also its subscription's name on the topic of `consumes`."""
    about: str
    """For --help: what it does, and how it fails."""
    consumes: type[M]
    publishes: tuple[type[Message], ...] = ()
    """Their senders are opened before the service reports ready, so that no message waits for one."""
    stage: Stage
    settings: type[S]
    build: Callable[[S, Kit], AbstractAsyncContextManager[Handler[M]]]
    """Opens what the handler needs and yields the handler; closed after the last message is out of hand.

    The handler is cancelled when the lock is lost, the budget spent or the service stopped: it lets CancelledError pass
    and does nothing more.
    """
    budget_sec: float | Callable[[S], float]
    """Longest that one message may be worked on; then the run is TIMED_OUT."""
    concurrency: int | Callable[[S], int] = 1
    """Messages in hand at once."""
    admits: frozenset[RunStatus] | None = frozenset({RunStatus.STARTED})
    """Statuses of a run in which its messages are worked on; others are settled and dropped. None: all, unseen.

    A service whose own commit moves the run (the gate) must admit the status that it moves the run to, or a redelivery
    after a crash would be dropped instead of publishing what was recorded.
    """

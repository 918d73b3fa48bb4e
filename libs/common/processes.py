"""Work that would hold up the event loop, in processes of its own."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from libs.common.errors import TransientError

P = ParamSpec("P")
R = TypeVar("R")


class WorkerDiedError(TransientError):
    """A process that worked for the service ended in the middle of it."""

    code = "worker_died"
    next_step = (
        "It is tried again. If it goes on, the machine is most likely out of memory: give the service more, or lower "
        "the number of its processes or PART_MAX_EVENTS."
    )


class Processes:
    """At most `count` child processes; they end with the service, also when it is killed.

    Functions and arguments go through pickle. A function belongs into a module that imports little, and imports the
    rest itself: so the service's own process stays small, and starts fast. `prepare` is called in every child as it
    starts, for what all work needs; with it the children start at once, without it when they are first needed.
    """

    def __init__(self, count: int, prepare: Callable[[], None] | None = None) -> None:
        self._count = count
        self._prepare = prepare
        self._pool = self._start()

    async def __aenter__(self) -> Self:
        """Return when the children are prepared. Raises WorkerDiedError where they cannot be."""
        if self._prepare is not None:
            await asyncio.gather(*(self.run(_nothing) for _ in range(self._count)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for work that is under way; what has not begun is dropped."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `work` in a child process. Raises what it raises, or WorkerDiedError.

        If cancelled, work that has begun goes on to its end, unheard.
        """
        pool = self._pool
        try:
            return await asyncio.wrap_future(pool.submit(work, *args, **kwargs))
        except BrokenProcessPool as error:
            if self._pool is pool:  # the first of those that lost their worker makes a new pool
                self._pool = self._start()
                pool.shutdown(wait=False)
            raise WorkerDiedError(f"A worker process of {self._count} ended while it worked: {error}") from error

    def _start(self) -> ProcessPoolExecutor:
        # spawn: a fork would copy the service's threads' locks in whatever state they are.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._count, mp_context=context, initializer=_begin, initargs=(self._prepare,))


def _begin(prepare: Callable[[], None] | None) -> None:
    """Leave signals to the service, which lets work in flight end, and die when it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_after_parent, name="follow parent", daemon=True).start()
    if prepare is not None:
        prepare()
    gc.freeze()  # what is imported stays: no collection need look at it again


def _nothing() -> None:
    """Work that is done as soon as a child is prepared."""


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in children only"
    parent.join()
    os._exit(1)

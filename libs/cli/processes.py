"""Child processes of `retl demo` and `retl run`: started, watched, started again when they die, stopped in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from libs.cli.keeper import Keeper
from libs.common.errors import TerminalError

MAX_RESTARTS = 5
STOP_GRACE_SEC = 10.0
READY_SEC = 60.0
_LOG_TAIL_LINES = 15


class ChildError(TerminalError):
    """A process of the local stack could not be kept running."""

    code = "process_failed"
    next_step = "Read the end of its log, whose path stands in the message."


@dataclass(slots=True, kw_only=True)
class Child:
    """One child process: `python -m module …`, its standard error and output going to a log file.

    `announces` children print one JSON line when they are ready, kept in `ready`; the others are ready when their
    `/readyz` answers 200 on `health_port`.
    """

    name: str
    module: str
    arguments: list[str]
    log_path: Path
    env: dict[str, str] = field(default_factory=dict)
    announces: bool = False
    health_port: int = 0
    ready: dict[str, Any] = field(default_factory=dict)
    ready_sec: float = READY_SEC
    restarts: int = 0
    process: asyncio.subprocess.Process | None = None

    async def start(self, started: Callable[[int], None]) -> None:
        """Start it, tell its process id, return when it is ready; ChildError with the end of its log if it is not."""
        with self.log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self.module,
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self.announces else log,
                stderr=log,
                env=self.env,
                cwd=self.log_path.parent,
                start_new_session=True,  # Ctrl-C reaches this command only, which then stops its children in order
            )
        started(self.process.pid)
        try:
            async with asyncio.timeout(self.ready_sec):
                await (self._announced() if self.announces else self._healthy())
        except TimeoutError as error:
            raise ChildError(f"{self.name} was not ready after {self.ready_sec:g} s. {self.log_tail()}") from error

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when that has not helped in STOP_GRACE_SEC."""
        if self.process is None or self.process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_GRACE_SEC)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.process.wait()

    def log_tail(self) -> str:
        """The last lines of its log, for an error text."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return f"Its log, {self.log_path}, ends:\n" + "\n".join(lines)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    async def _announced(self) -> None:
        if self.process is None or self.process.stdout is None:
            raise ChildError(f"{self.name} has no standard output to announce itself on.")
        line = await self.process.stdout.readline()
        if not line:
            await self.process.wait()
            raise ChildError(f"{self.name} ended before it was ready. {self.log_tail()}")
        self.ready = json.loads(line)

    async def _healthy(self) -> None:
        while self.process is not None:
            if self.process.returncode is not None:
                raise ChildError(
                    f"{self.name} ended with status {self.process.returncode} before it was ready. {self.log_tail()}"
                )
            if await _answers_ready(self.health_port):
                return
            await asyncio.sleep(0.05)


class Children:
    """A set of children under watch. Start with `start`, wait for trouble with `watch`, end with `stop`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._children: list[Child] = []
        self._together: list[tuple[Child, ...]] = []
        self._keeper: Keeper | None = None

    async def start(self, *children: Child) -> None:
        """Start these at the same time and return when all are ready."""
        keeper = self._keeper = self._keeper or Keeper()
        self._children += children
        self._together.append(children)
        results = await asyncio.gather(*(self._start(child, keeper) for child in children), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def watch(self) -> None:
        """Start again whatever dies, MAX_RESTARTS times each; then raise ChildError. Never returns by itself."""
        if self._keeper is None:
            raise AssertionError("nothing was started")
        async with asyncio.TaskGroup() as group:
            for child in self._children:
                group.create_task(self._keep(child, self._keeper), name=f"keep-{child.name}")

    async def stop(self) -> None:
        """Stop all, those last started first, those started together at the same time."""
        for children in reversed(self._together):
            await asyncio.gather(*(child.stop() for child in children))
        if self._keeper is not None:
            await asyncio.to_thread(self._keeper.close)

    async def _keep(self, child: Child, keeper: Keeper) -> None:
        while child.process is not None:
            status = await child.process.wait()
            keeper.ended(child.process.pid)
            self._count_death(child, status)
            await self._start(child, keeper)

    async def _start(self, child: Child, keeper: Keeper) -> None:
        """Start it, and again when it is killed meanwhile. One that ends by itself before it is ready would again."""
        while True:
            try:
                return await child.start(keeper.started)
            except ChildError:
                if child.process is None or child.process.returncode is None:
                    raise
                keeper.ended(child.process.pid)
                if child.process.returncode >= 0:
                    raise
                self._count_death(child, child.process.returncode)

    def _count_death(self, child: Child, status: int) -> None:
        if child.restarts >= MAX_RESTARTS:
            raise ChildError(f"{child.name} died {child.restarts + 1} times. {child.log_tail()}")
        child.restarts += 1
        self._say(f"{child.name} died ({_how(status)}); starting it again ({child.restarts} of {MAX_RESTARTS})")


def _how(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


async def _answers_ready(port: int) -> bool:
    """Whether GET /readyz on loopback answers 200; spoken by hand, because this is asked twenty times a second."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        status = await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return b" 200 " in status


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

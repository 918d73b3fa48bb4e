"""The five real services and the emulators that they speak to, as processes under the supervisor of `retl run`."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from libs.cli.processes import Child, Children, free_port
from libs.cli.stack import DEMO_API_KEY, SERVICES
from libs.common.bus.envelope import Outgoing
from libs.common.bus.servicebus import connect
from libs.common.messages import WeekRequested
from libs.common.settings import CommonSettings, load_settings
from libs.common.state import migrate
from tests.chaos.sabotage import Sabotage
from tests.chaos.surroundings import (
    BUSY_TIMEOUT_SEC,
    EVENTS,
    PIPELINE,
    RUN_ID,
    SETTINGS,
    bare_environment,
    topology,
)
from tests.chaos.windows import Windows

PATIENCE_SEC = 90.0
"""For a condition in other processes, on a machine that others use too."""
READY_SEC = 200.0
"""For the start of up to ten processes at once, on such a machine."""
EMULATORS = ("servicebus", "salesforce", "events_api")
_TABLES = ("pipeline_checkpoint", "pipeline_run", "pipeline_stage", "pipeline_part")


@dataclass(slots=True)
class Plant(Windows):
    """Started once for the tests of a module; `reset` makes it as good as new, but for the processes.

    The broker recognises no duplicates, so that every repeat reaches the services. When a service is killed all locks
    run out at once, as they would after LOCK_SEC: nobody needs to wait for that.
    """

    sabotage: Sequence[Sabotage] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    events: int = EVENTS
    deaths: list[str] = field(default_factory=list)
    _environment: dict[str, str] = field(default_factory=dict)
    _supervisor: Children = field(init=False)
    _watching: asyncio.Task[None] = field(init=False)
    _expiring: set[asyncio.Future[Any]] = field(default_factory=set)
    _cleanup: AsyncExitStack = field(default_factory=AsyncExitStack)

    def reached(self, sabotage: Sabotage) -> Path:
        """The file that is there as soon as the failpoint was reached."""
        return self.folder / "reached" / sabotage.file_name

    def released(self, sabotage: Sabotage) -> Path:
        """The file whose making ends a `hang`."""
        return self.folder / "released" / sabotage.file_name

    async def start(self) -> None:
        """Returns when everything is ready."""
        for name in ("logs", "lake", "reached", "released"):
            (self.folder / name).mkdir()
        (self.folder / "topology.json").write_text(json.dumps(topology()))
        migrate(f"sqlite:///{self.database}")
        self._supervisor = Children(self._died)
        self._cleanup.push_async_callback(self._kill_all)
        bus = self._emulator(
            "servicebus", "--topology", str(self.folder / "topology.json"), "--data", str(self.folder / "bus")
        )
        api = self._emulator("events_api", "--events", str(self.events), "--bad-pct", "2", "--api-key", DEMO_API_KEY)
        await self._supervisor.start(bus, api, self._emulator("salesforce"))
        self._environment = {
            **bare_environment(),
            **SETTINGS,
            "STATE_URL": f"sqlite:///{self.database}?timeout={BUSY_TIMEOUT_SEC}",
            "LAKE_URL": self.lake.as_uri(),
            "SERVICEBUS_CONNECTION_STRING": bus.ready["connection_string"],
            "API_BASE_URL": api.ready["base_url"],
            "SF_LOGIN_URL": self.children["salesforce"].ready["login_url"],
            "FAILPOINT": " ".join(each.failpoint(self.reached(each), self.released(each)) for each in self.sabotage),
            **self.settings,
        }
        self._watching = asyncio.create_task(asyncio.sleep(0), name="supervisor")
        self._cleanup.push_async_callback(self._unwatch)
        await self._start_services("")

    async def add_replicas(self) -> None:
        """Start a second process of every service."""
        await self._start_services("-2")

    async def _start_services(self, suffix: str) -> None:
        await self._supervisor.start(*(self._service(name, f"{name}{suffix}") for name in SERVICES))
        self._watching.cancel()
        self._watching = asyncio.create_task(self._supervisor.watch(), name="supervisor")

    async def stop(self) -> None:
        """End all processes, without ado; also after a start that failed."""
        await self._cleanup.aclose()

    async def _unwatch(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, *self._expiring, return_exceptions=True)

    async def _kill_all(self) -> None:
        for child in self.children.values():
            if child.process is not None and child.process.returncode is None:
                child.process.kill()
        await self._supervisor.stop()

    async def reset(self) -> None:
        """Forget every run: empty lake, tables and org, while the services have nothing in hand."""
        for path in self.lake.iterdir():
            shutil.rmtree(path)
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            for table in _TABLES:
                connection.execute(f"DELETE FROM {table}")
            connection.commit()
        for child in self.children.values():
            child.restarts = 0
        await self.restart("salesforce", signal.SIGTERM)  # its org lives as long as its process
        self.deaths.clear()

    async def restart(self, name: str, number: signal.Signals) -> None:
        """End a process; returns when the supervisor has started it again, an emulator when it is ready."""
        child = self.children[name]
        before = child.process
        assert before is not None
        child.ready = {}
        before.send_signal(number)
        await self.until(lambda: child.process is not before and (not child.announces or bool(child.ready)))

    async def request(self, case: str) -> None:
        """Ask for the week, always as the same run; `case` is the correlation id."""
        request = WeekRequested(
            run_id=RUN_ID,
            pipeline_name=PIPELINE,
            week_start=date(2026, 1, 5),
            week_end=date(2026, 1, 11),
            correlation_id=case,
            requested_by="chaos",
            requested_at=datetime(2026, 1, 12, 5, 30, tzinfo=UTC),
        )
        await self.publish(Outgoing.of(request))

    async def publish(self, *messages: Outgoing) -> None:
        """Over a connection of its own: the broker may have been killed since the last one."""
        connection_string = self._environment["SERVICEBUS_CONNECTION_STRING"]
        bus = connect(load_settings(CommonSettings, _env_file=None, servicebus_connection_string=connection_string))
        try:
            await bus.publisher.publish(*messages)
        finally:
            await bus.aclose()

    async def finished(self) -> None:
        """The sync has ended, or the run has failed, and no message is left anywhere."""
        await self.until(self._is_over)
        await self.drained()

    async def drained(self) -> None:
        await self.until(lambda: not self.left_on_the_bus())

    async def reaches(self, sabotage: Sabotage) -> None:
        await self.until(self.reached(sabotage).exists)

    def release(self, sabotage: Sabotage) -> None:
        """Let go of whoever hangs there."""
        self.released(sabotage).touch()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it, PATIENCE_SEC at most; fails at once when the supervisor gives up."""
        async with asyncio.timeout(PATIENCE_SEC):
            while not await asyncio.to_thread(condition):
                if self._watching.done():
                    self._watching.result()
                await asyncio.sleep(0.1)

    def _is_over(self) -> bool:
        return bool(
            self.rows("SELECT 1 FROM pipeline_stage WHERE stage_name = 'SALESFORCE_SYNC' AND status <> 'RUNNING'")
            or self.rows("SELECT 1 FROM pipeline_run WHERE status IN ('FAILED', 'TIMED_OUT')")
        )

    def _died(self, text: str) -> None:
        self.deaths.append(text)
        if "SIGKILL" in text and not text.startswith(EMULATORS):
            expiring = asyncio.ensure_future(asyncio.to_thread(self.broker, "faults/expire-locks"))
            self._expiring.add(expiring)
            expiring.add_done_callback(self._expiring.discard)

    def _emulator(self, name: str, *arguments: str) -> Child:
        self.children[name] = Child(
            name=name,
            module=f"libs.emulators.{name}",
            arguments=["--port", str(free_port()), *arguments],
            log_path=self.folder / "logs" / f"{name}.log",
            env=bare_environment() | {"TMPDIR": str(self.folder)},
            announces=True,
            ready_sec=READY_SEC,
        )
        return self.children[name]

    def _service(self, name: str, replica: str) -> Child:
        port = free_port()
        own = {"HEALTH_PORT": str(port), "SCRATCH_DIR": str(self.folder / "scratch" / replica)}
        self.children[replica] = Child(
            name=replica,
            module=f"services.{name}",
            arguments=[],
            log_path=self.folder / "logs" / f"{replica}.log",
            env=self._environment | own,
            health_port=port,
            ready_sec=READY_SEC,
        )
        return self.children[replica]

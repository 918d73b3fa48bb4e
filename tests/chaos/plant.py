"""The five real services and the emulators that they speak to, as processes under the supervisor of `retl run`."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from libs.cli.processes import Child, Children, free_port
from libs.cli.stack import DEMO_API_KEY, SERVICES
from libs.common.bus.envelope import Outgoing
from libs.common.bus.servicebus import Bus, connect
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

PATIENCE_SEC = 90.0
"""For a condition in other processes, on a machine that others use too."""
EMULATORS = ("servicebus", "salesforce", "events_api")
_TABLES = ("pipeline_checkpoint", "pipeline_run", "pipeline_stage", "pipeline_part")


@dataclass(slots=True)
class Plant:
    """Started once for the tests of a module; `reset` makes it as good as new, but for the processes.

    The broker recognises no duplicates, so that every repeat reaches the services. When a service is killed all locks
    run out at once, as they would after LOCK_SEC: nobody needs to wait for that.
    """

    folder: Path
    sabotage: Sequence[Sabotage] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    events: int = EVENTS
    deaths: list[str] = field(default_factory=list)
    children: dict[str, Child] = field(default_factory=dict)
    _environment: dict[str, str] = field(default_factory=dict)
    _supervisor: Children = field(init=False)
    _watching: asyncio.Task[None] = field(init=False)
    _bus: Bus = field(init=False)
    _expiring: set[asyncio.Future[Any]] = field(default_factory=set)

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def database(self) -> Path:
        return self.folder / "state.db"

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
        self._bus = connect(
            load_settings(CommonSettings, _env_file=None, servicebus_connection_string=bus.ready["connection_string"])
        )
        self._watching = asyncio.create_task(asyncio.sleep(0), name="supervisor")
        await self._start_services("")

    async def add_replicas(self) -> None:
        """Start a second process of every service."""
        await self._start_services("-2")

    async def _start_services(self, suffix: str) -> None:
        await self._supervisor.start(*(self._service(name, f"{name}{suffix}") for name in SERVICES))
        self._watching.cancel()
        self._watching = asyncio.create_task(self._supervisor.watch(), name="supervisor")

    async def stop(self) -> None:
        """End all processes, without ado."""
        self._watching.cancel()
        await asyncio.gather(self._watching, self._bus.aclose(), *self._expiring, return_exceptions=True)
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
        await self._bus.publisher.publish(*messages)

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

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, parameters)]

    def left_on_the_bus(self) -> dict[str, int]:
        """Messages that are neither settled nor dead letters, by subscription; scheduled ones by topic."""
        counts = self.broker("counts")
        left = {name: count["active"] + count["scheduled"] for name, count in counts["entities"].items()}
        left |= {name: count["scheduled"] for name, count in counts["topics"].items()}
        return {name: number for name, number in left.items() if number}

    def dead_letters(self) -> int:
        return sum(int(count["dead_letter"]) for count in self.broker("counts")["entities"].values())

    def broker(self, path: str) -> Any:
        """What the broker's HTTP side answers; a fault is a POST."""
        port = self.children["servicebus"].ready["admin_port"]
        method = "POST" if path.startswith("faults/") else "GET"
        return json.loads(_http(f"http://127.0.0.1:{port}/{path}", method))

    def records(self) -> list[dict[str, Any]]:
        """What Salesforce holds."""
        base = self.children["salesforce"].ready["login_url"]
        lines = _http(f"{base}/_emulator/records/Customer_Weekly_Metric__c", "GET").splitlines()
        return [json.loads(line) for line in lines]

    def log_lines(self, service: str, event: str) -> list[dict[str, Any]]:
        """Of all replicas and restarts of a service; each knows its `replica`."""
        return [
            line | {"replica": path.stem}
            for path in (self.folder / "logs").glob(f"{service}*.log")
            for text in path.read_text().splitlines()
            if text.startswith("{") and (line := json.loads(text))["event"] == event
        ]

    def actions(self, service: str, case: str) -> set[str]:
        """What became of the case's messages in a service."""
        return {line["action"] for line in self.log_lines(service, "message") if line["correlation_id"] == case}

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
        )
        return self.children[replica]


def _http(url: str, method: str) -> str:
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(response.read().decode())

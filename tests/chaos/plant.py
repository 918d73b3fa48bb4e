"""The five real services and the emulators that they speak to, as processes under the supervisor of `retl run`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from libs.cli.processes import Child, Children, free_port
from libs.cli.stack import DEMO_API_KEY, SERVICES, SF_CLIENT_ID, SF_CLIENT_SECRET
from libs.common.bus.envelope import Outgoing
from libs.common.bus.servicebus import Bus, connect
from libs.common.messages import WeekRequested
from libs.common.settings import CommonSettings, load_settings
from libs.common.state import migrate

DEPLOYED = Path(__file__).parents[2] / "deploy" / "servicebus" / "topology.json"
RUN_ID = "20260105-chaos"
PIPELINE = "chaos"
LOCK_SEC = 5.0
"""The shortest that Service Bus allows."""
BUSY_TIMEOUT_SEC = 0.2
"""How long a service's statement waits for the database's lock, before its call is tried again."""
PATIENCE_SEC = 90.0
"""For a condition in other processes, on a machine that others use too."""
EMULATORS = ("servicebus", "salesforce", "events_api")
PARTS = 3
EVENTS = 2_400
_TABLES = ("pipeline_checkpoint", "pipeline_run", "pipeline_stage", "pipeline_part")
_SETTINGS = {
    "PIPELINE_NAME": PIPELINE,
    "API_KEY": DEMO_API_KEY,
    "API_PAGE_SIZE": "400",
    "PART_MAX_EVENTS": "800",
    "LOAD_GROUP_EVENTS": "1700",
    "RETRY_DELAYS_SEC": ",".join(["0.2"] * 8),
    "STOP_GRACE_SEC": "1",
    "VALIDATE_WORKERS": "2",
    "SF_CLIENT_ID": SF_CLIENT_ID,
    "SF_CLIENT_SECRET": SF_CLIENT_SECRET,
    "SF_COLLECTIONS_BELOW": "0",
    "SF_JOB_MAX_ROWS": "100",
    "SF_CONCURRENT_JOBS": "1",
    "SF_POLL_FIRST_SEC": "0.1",
    "HEALTH_HOST": "127.0.0.1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """A failpoint of one service: armed for the case that it names, and a file that tells when it was reached."""

    case: str
    service: str
    point: str
    action: str
    conditions: str = ""

    def __str__(self) -> str:
        more = f",{self.conditions}" if self.conditions else ""
        return f"{self.case} {self.service} {self.point}{more} {self.action}"

    @property
    def file_name(self) -> str:
        return "-".join(re.findall(r"\w+", str(self)))


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
    replicas: int = 1
    deaths: list[str] = field(default_factory=list)
    children: dict[str, Child] = field(default_factory=dict)
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
        (self.folder / "topology.json").write_text(json.dumps(_topology()))
        migrate(f"sqlite:///{self.database}")
        self._supervisor = Children(self._died)
        bus = self._emulator(
            "servicebus", "--topology", str(self.folder / "topology.json"), "--data", str(self.folder / "bus")
        )
        api = self._emulator("events_api", "--events", str(self.events), "--bad-pct", "2", "--api-key", DEMO_API_KEY)
        await self._supervisor.start(bus, api, self._emulator("salesforce"))
        environment = {
            **_bare(),
            **_SETTINGS,
            "STATE_URL": f"sqlite:///{self.database}?timeout={BUSY_TIMEOUT_SEC}",
            "LAKE_URL": self.lake.as_uri(),
            "SERVICEBUS_CONNECTION_STRING": bus.ready["connection_string"],
            "API_BASE_URL": api.ready["base_url"],
            "SF_LOGIN_URL": self.children["salesforce"].ready["login_url"],
            "FAILPOINT": " ".join(self._failpoint(each) for each in self.sabotage),
            **self.settings,
        }
        replicas = [(name, number) for name in SERVICES for number in range(self.replicas)]
        await self._supervisor.start(*(self._service(name, number, environment) for name, number in replicas))
        self._watching = asyncio.create_task(self._supervisor.watch(), name="supervisor")
        self._bus = connect(
            load_settings(CommonSettings, _env_file=None, servicebus_connection_string=bus.ready["connection_string"])
        )

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
        for child in self.children.values():
            child.restarts = 0
        self.deaths.clear()

    async def restart(self, name: str, number: signal.Signals) -> None:
        """End a process; returns when the supervisor has started it again and it is ready."""
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
        """The sync has ended, and no message is left anywhere."""
        await self.until(lambda: self.stage("SALESFORCE_SYNC") == "SUCCESS")
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

    def stage(self, name: str) -> str | None:
        """The status of a stage, None before it began."""
        found = self.rows("SELECT status FROM pipeline_stage WHERE stage_name = ?", name)
        return found[0]["status"] if found else None

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
        """Of all replicas and restarts of a service."""
        texts = [path.read_text() for path in (self.folder / "logs").glob(f"{service}*.log")]
        lines = [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def actions(self, service: str, case: str) -> set[str]:
        """What became of the case's messages in a service."""
        return {line["action"] for line in self.log_lines(service, "message") if line["correlation_id"] == case}

    def _died(self, text: str) -> None:
        self.deaths.append(text)
        if "SIGKILL" in text and not text.startswith(EMULATORS):
            expiring = asyncio.ensure_future(asyncio.to_thread(self.broker, "faults/expire-locks"))
            self._expiring.add(expiring)
            expiring.add_done_callback(self._expiring.discard)

    def _failpoint(self, each: Sabotage) -> str:
        conditions = f"service={each.service},correlation_id={each.case}" + (each.conditions and f",{each.conditions}")
        return f"{each.point}@{conditions}:{each.action};once={self.reached(each)};until={self.released(each)}"

    def _emulator(self, name: str, *arguments: str) -> Child:
        self.children[name] = Child(
            name=name,
            module=f"libs.emulators.{name}",
            arguments=["--port", str(free_port()), *arguments],
            log_path=self.folder / "logs" / f"{name}.log",
            env=_bare() | {"TMPDIR": str(self.folder)},
            announces=True,
        )
        return self.children[name]

    def _service(self, name: str, number: int, environment: dict[str, str]) -> Child:
        port, full_name = free_port(), f"{name}-{number}"
        own = {"HEALTH_PORT": str(port), "SCRATCH_DIR": str(self.folder / "scratch" / full_name)}
        self.children[full_name if self.replicas > 1 else name] = child = Child(
            name=full_name,
            module=f"services.{name}",
            arguments=[],
            log_path=self.folder / "logs" / f"{full_name}.log",
            env=environment | own,
            health_port=port,
        )
        return child


def _topology() -> dict[str, Any]:
    """As deployed, but for locks short enough to run out and for duplicates, which the services must stand."""
    entities: dict[str, Any] = json.loads(DEPLOYED.read_bytes())
    for topic in entities["UserConfig"]["Namespaces"][0]["Topics"]:
        topic["Properties"]["RequiresDuplicateDetection"] = False
        for subscription in topic["Subscriptions"]:
            subscription["Properties"]["LockDuration"] = f"PT{LOCK_SEC:g}S"
    return entities


def _bare() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "PYTHONPATH")
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONEXECUTABLE": sys.executable,
    }


def _http(url: str, method: str) -> str:
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(response.read().decode())

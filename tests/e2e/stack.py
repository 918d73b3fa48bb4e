"""The compose stack as the tests meet it: started, asked, disturbed, taken down."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from testcontainers.compose import DockerCompose

from libs.cli.processes import free_port
from libs.common.lake import open_lake

ROOT = Path(__file__).parents[2]
PATIENCE_SEC = 240
"""For a command, on a machine with two cores that others use too."""
SERVICES = ("extractor", "validator", "loader", "gate", "sf_sync")
EMULATORS = ("servicebus", "datalake", "salesforce", "events-api")
PUBLISHED = ("curated", "signals")
FIRST_MONDAY = date(2026, 1, 5)
EVENTS = 20_000
PARTS = 10


def docker_is_there() -> bool:
    """Whether an engine answers and compose is installed."""
    if shutil.which("docker") is None:
        return False
    asked = (["docker", "info"], ["docker", "compose", "version"])
    return all(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in asked)


@dataclass(frozen=True, slots=True)
class Publication:
    """`retl publish --wait --json` under way."""

    process: subprocess.Popen[str]

    def result(self) -> dict[str, Any]:
        """What it printed, once the run is over."""
        out, err = self.process.communicate(timeout=PATIENCE_SEC)
        assert out, err
        answer: dict[str, Any] = json.loads(out)
        return answer


class Stack:
    """One project of docker compose, on ports of the host that were free."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.ports = {
            name: free_port() for name in ("SERVICEBUS", "SERVICEBUS_ADMIN", "DATALAKE", "SALESFORCE", "EVENTS_API")
        }
        self._weeks = 0

    @cached_property
    def environment(self) -> dict[str, str]:
        """What compose takes from the environment."""
        return {
            "COMPOSE_PROJECT_NAME": self.project,
            "EVENTS": str(EVENTS),
            "PART_MAX_EVENTS": str(EVENTS // PARTS),
            "RETRY_DELAYS_SEC": "1,2,4",
            **{f"{name}_PORT": str(port) for name, port in self.ports.items()},
        }

    @property
    def servicebus(self) -> str:
        """The broker, from the host."""
        return (
            f"Endpoint=sb://127.0.0.1:{self.ports['SERVICEBUS']};SharedAccessKeyName=RootManageSharedAccessKey;"
            "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
        )

    @contextmanager
    def running(self, *services: str) -> Iterator[DockerCompose]:
        """Build and start (all, or these), healthy; take down with its volumes in the end."""
        os.environ.update(self.environment)  # testcontainers hands its own environment on
        with DockerCompose(str(ROOT), build=True, wait=True, services=list(services) or None) as compose:
            try:
                yield compose
            finally:
                self.compose("--profile", "tools", "down", "--volumes", "--remove-orphans")

    def compose(self, *arguments: str) -> str:
        """Run `docker compose …`; its standard output. Raises with what it said when it fails."""
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SEC,
            check=False,
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def retl(self, *arguments: str) -> str:
        """Run the operator's command in the stack."""
        return self.compose("run", "--rm", "--no-deps", "-T", "retl", *arguments)

    def next_monday(self) -> date:
        """A week that no test of this session had."""
        self._weeks += 1
        return FIRST_MONDAY + timedelta(weeks=self._weeks - 1)

    def publish(self, monday: date) -> Publication:
        """Ask for the week, and follow it."""
        command = ["docker", "compose", "run", "--rm", "--no-deps", "-T", "retl", "publish", "--wait", "--json"]
        return Publication(
            subprocess.Popen(
                [*command, "--week-start", monday.isoformat()],
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    def runs(self, monday: date) -> list[dict[str, Any]]:
        """The runs of a week, as the state tables have them."""
        found: list[dict[str, Any]] = json.loads(self.retl("runs", "--week", monday.isoformat(), "--json"))
        return found

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def records(self, monday: date) -> dict[str, dict[str, Any]]:
        """Salesforce's records of a week by external id."""
        return salesforce_records(f"http://127.0.0.1:{self.ports['SALESFORCE']}", monday)

    def published_files(self, monday: date) -> dict[str, str]:
        """Path → sha256 of what readers find of a week."""
        endpoint = f"http://127.0.0.1:{self.ports['DATALAKE']}/devacct"
        key = "Zm9yIGEgbG9jYWwgc3RhbmQtaW4gb25seSwgbm8gc2VjcmV0"
        return asyncio.run(
            published_files(
                "abfss://lake@devacct.dfs.core.windows.net",
                monday,
                f"DefaultEndpointsProtocol=http;AccountName=devacct;AccountKey={key};"
                f"BlobEndpoint={endpoint};DfsEndpoint={endpoint};",
            )
        )


def docker(*arguments: str) -> str:
    """Run `docker …`; its standard output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=PATIENCE_SEC, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def salesforce_records(url: str, monday: date) -> dict[str, dict[str, Any]]:
    """What the emulator at `url` holds of a week, without what it makes up itself (ids, time stamps)."""
    with urllib.request.urlopen(f"{url}/_emulator/records/Customer_Weekly_Metric__c") as answer:
        records = [json.loads(line) for line in answer]
    return {
        record["External_Signal_Id__c"]: {name: value for name, value in record.items() if name.endswith("__c")}
        for record in records
        if record["Week_Start__c"] == monday.isoformat()
    }


async def published_files(url: str, monday: date, connection_string: str | None = None) -> dict[str, str]:
    """Path → sha256 of every file under `curated` and `signals` that belongs to the week, manifests apart.

    A manifest names files by URL, which differs between lakes.
    """
    lake = open_lake(url, connection_string=connection_string)
    try:
        found: dict[str, str] = {}
        for prefix in PUBLISHED:
            for info in await lake.list(prefix):
                if f"week_start={monday}" in info.path and info.path.endswith(".parquet"):
                    found[info.path] = hashlib.sha256(await lake.get_bytes(info.path)).hexdigest()
        return found
    finally:
        await lake.aclose()


def fresh_project() -> str:
    """A project name that nobody else has."""
    return f"retl-e2e-{uuid.uuid4().hex[:8]}"


def totals(result: dict[str, Any]) -> tuple[Any, Sequence[Any]]:
    """What must be the same whatever happened meanwhile: status, rows, and what Salesforce has now."""
    figures = [result[name] for name in ("rows_fetched", "rows_valid", "rows_rejected")]
    return result["status"], [*figures, result["sync"]["created"] + result["sync"]["updated"]]

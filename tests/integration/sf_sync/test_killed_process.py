"""`kill -9` of the service's own process in the middle of its talk with Salesforce, again and again in one sync."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from libs.common.bus.envelope import Outgoing
from libs.common.bus.servicebus import connect
from libs.common.clock import SystemClock
from libs.common.settings import CommonSettings, load_settings
from libs.common.state import Stage
from services.sf_sync.ledger import Ledger, SendState

PATIENCE_SEC = 90
LONG_SEC = 3.0
"""A call that takes so long is still under way when the process dies."""


@dataclass
class Broker:
    """The Service Bus emulator."""

    connection_string: str
    admin_port: int

    async def publish(self, message: Any) -> None:
        bus = connect(
            load_settings(CommonSettings, _env_file=None, servicebus_connection_string=self.connection_string)
        )
        await bus.publisher.publish(Outgoing.of(message))
        await bus.aclose()

    def expire_locks(self) -> None:
        """What time does for a consumer that is gone."""
        requests.post(f"http://127.0.0.1:{self.admin_port}/faults/expire-locks", timeout=10).raise_for_status()


@pytest.fixture
def broker() -> Iterator[Broker]:
    command = [sys.executable, "-m", "libs.emulators.servicebus", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield Broker(ready["connection_string"], ready["admin_port"])
        process.terminate()


@dataclass
class Service:
    """`python -m services.sf_sync`, started as often as it is killed."""

    bench: Any
    broker: Broker
    ledger: Ledger
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = self.bench.settings
        own = {
            "STATE_URL": f"sqlite:///{self.bench.folder / 'state.db'}",
            "LAKE_URL": (self.bench.folder / "lake").as_uri(),
            "SCRATCH_DIR": str(self.bench.folder / "scratch"),
            "SERVICEBUS_CONNECTION_STRING": self.broker.connection_string,
            "HEALTH_HOST": "127.0.0.1",
            "HEALTH_PORT": "0",
            "SF_CLIENT_SECRET": settings.sf_client_secret.get_secret_value(),
            "SF_JOB_MAX_ROWS": "150",
            "SF_CONCURRENT_JOBS": "1",
        }
        same = ("sf_login_url", "sf_client_id", "sf_collections_below", "sf_poll_first_sec", "sf_poll_max_sec")
        own |= {name.upper(): str(getattr(settings, name)) for name in same}
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.sf_sync"],
            cwd=self.bench.folder,
            env=kept | own,
            stderr=subprocess.DEVNULL,
        )

    async def killed_when(self, fault: dict[str, Any], condition: Callable[[], Any]) -> None:
        """Start it with Salesforce in trouble, kill it as soon as the condition holds, let go of its message."""
        self.bench.emulator.faults(fault)
        self.start()
        await self.until(condition)
        self.kill()
        self.bench.emulator.faults()
        self.broker.expire_locks()

    async def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_SEC
        while not await condition():
            assert time.monotonic() < deadline, "it never came to that"
            assert self.process is not None
            assert self.process.poll() is None, "it ended by itself"
            await asyncio.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)

    async def stands_at(self, state: SendState) -> bool:
        """Whether one of the sendings on record is in that state."""
        return any(entry.value.state is state for entry in await self.ledger.sends())


@pytest.fixture
async def service(bench: Any, broker: Broker) -> AsyncIterator[Service]:
    found = Service(bench, broker, Ledger(bench.state, "r1", SystemClock()))
    yield found
    found.kill()


@pytest.mark.chaos
async def test_a_sync_whose_process_is_killed_at_every_talk_sends_no_row_twice_and_loses_none(
    bench: Any, make: Any, service: Service, broker: Broker
) -> None:
    rows = make.signals(300)
    await broker.publish(await bench.passed("r1", rows))
    slow = {"kind": "slow_response", "seconds": LONG_SEC}

    async def creates() -> bool:
        return bool(bench.emulator.calls("job_create") > 0)

    await service.killed_when(slow | {"call": "job_create"}, creates)
    await service.killed_when(slow | {"call": "job_state"}, lambda: service.stands_at(SendState.CLOSING))
    polls = bench.emulator.calls("job_poll")

    async def polled_again() -> bool:
        return bool(bench.emulator.calls("job_poll") > polls) and await service.stands_at(SendState.RUNNING)

    await service.killed_when({"kind": "slow_job", "seconds": LONG_SEC}, polled_again)

    async def downloads() -> bool:
        return bool(bench.emulator.calls("job_results") > 0)

    await service.killed_when(slow | {"call": "job_results"}, downloads)
    await service.killed_when(slow | {"call": "job_upload"}, lambda: service.stands_at(SendState.UPLOADING))
    service.start()

    async def is_over() -> bool:
        stage = await bench.state.get_stage("r1", Stage.SALESFORCE_SYNC)
        return stage is not None and stage.finished_at is not None

    await service.until(is_over)
    details = (await bench.stage("r1")).details
    assert {name: details[name] for name in ("created", "updated", "failed", "invalid", "retried")} == {
        "created": 300, "updated": 0, "failed": 0, "invalid": 0, "retried": 0,
    }  # fmt: skip
    records = bench.emulator.records()
    assert records.keys() == {row["external_signal_id"] for row in rows}
    assert {record["Total_Spend_Week__c"] for record in records.values()} == {120.5}
    assert set(bench.emulator.attempts().values()) == {1}
    # Two jobs, one whose answer died with the process, and one in the place of a job whose upload was left in the dark.
    assert bench.emulator.calls("job_create") == 4
    assert len((await bench.log.customer("c000299", make.week)).accepted) == 1

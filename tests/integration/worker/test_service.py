"""A service as a process: killed, stopped, doubled, kept busy, misconfigured."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from libs.common.bus.envelope import Outgoing
from libs.common.bus.servicebus import Bus, connect
from libs.common.messages import decode
from libs.common.service import main
from libs.common.state import RunStatus, Stage, State, migrate, open_state
from tests.integration.worker.broker import LOCK_SEC, Broker, deployed
from tests.integration.worker.parts_service import SERVICE
from tests.unit.worker.harness import NOW, events_extracted, week_requested

MODULE = "tests.integration.worker.parts_service"


class Processes:
    """Services on one broker and one database, each with its log kept."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self._folder = folder
        self._broker = broker
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.state_url = f"sqlite:///{folder / 'state.db'}"

    def start(self, **settings: str) -> subprocess.Popen[bytes]:
        log = self._folder / f"service-{len(self._running)}.log"
        environment = {
            **os.environ,
            "SERVICEBUS_CONNECTION_STRING": self._broker.connection_string,
            "STATE_URL": self.state_url,
            "LAKE_URL": (self._folder / "lake").as_uri(),
            "SCRATCH_DIR": str(self._folder / "scratch"),
            "HEALTH_HOST": "127.0.0.1",
            "HEALTH_PORT": "0",
            "RETRY_DELAYS_SEC": "0.5,0.5",
            **settings,
        }
        with log.open("wb") as file:
            process = subprocess.Popen([sys.executable, "-m", MODULE], env=environment, stderr=file)
        self._running.append((process, log))
        return process

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Log lines of all of them, so far."""
        texts = [line for _, log in self._running for line in log.read_text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, texts) if line["event"] == event]

    def end(self) -> None:
        for process, _ in self._running:
            process.kill()
            process.wait(10)


async def until(condition: Callable[[], bool], *, seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.05)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path, entities=deployed())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def processes(tmp_path: Path, own_broker: Broker) -> Iterator[Processes]:
    processes = Processes(tmp_path, own_broker)
    yield processes
    processes.end()


@pytest.fixture
async def state(processes: Processes) -> AsyncIterator[State]:
    migrate(processes.state_url)
    state = open_state(processes.state_url)
    await state.open_run(week_requested(), _now())
    yield state
    await state.aclose()


@pytest.fixture
async def bus(own_broker: Broker) -> AsyncIterator[Bus]:
    bus = connect(own_broker.settings())
    yield bus
    await bus.aclose()


def _now() -> Any:
    return NOW.fromtimestamp(time.time(), NOW.tzinfo)


async def publish(bus: Bus, parts: int) -> None:
    await bus.publisher.publish(*(Outgoing.of(events_extracted(part=part)) for part in range(parts)))


async def received_parts(bus: Bus, expected: int) -> Counter[int]:
    """What the next service gets, until nothing comes any more."""
    receiver = bus.receiver("events.validated", "loader")
    await receiver.open()
    parts: Counter[int] = Counter()
    while delivery := await receiver.receive(20 if parts.total() < expected else 0.5):
        message: Any = decode(delivery.body)
        parts[message.part] += 1
        await delivery.complete()
    await receiver.aclose()
    return parts


async def recorded(state: State) -> int:
    return (await state.part_totals("run-1", Stage.VALIDATE)).parts


async def test_killed_at_every_point_a_service_repeats_work_but_no_effect(
    processes: Processes, state: State, bus: Bus, tmp_path: Path
) -> None:
    points = ("before_work", "after_work", "after_commit", "after_publish")
    armed = [f"{point}@part={part}:kill;once={tmp_path / point}" for part, point in enumerate(points)]
    armed.append(f"before_settle:kill;once={tmp_path / 'before_settle'}")
    await publish(bus, len(points) + 1)

    deaths = 0
    while deaths < len(armed):
        process = processes.start(FAILPOINT=" ".join(armed))
        assert await asyncio.to_thread(process.wait, 30) == -signal.SIGKILL
        deaths += 1
    processes.start()

    assert await received_parts(bus, len(points) + 1) == dict.fromkeys(range(len(points) + 1), 1)
    assert await recorded(state) == len(points) + 1
    assert all((tmp_path / point).exists() for point in (*points, "before_settle"))


async def test_two_replicas_share_fifty_parts_and_none_takes_effect_twice(
    processes: Processes, state: State, bus: Bus
) -> None:
    await publish(bus, 50)
    for _ in range(2):
        processes.start(WAIT_SEC="0.05")
    assert await received_parts(bus, 50) == dict.fromkeys(range(50), 1)
    assert await recorded(state) == 50
    worked = Counter(line["part"] for line in processes.lines("working"))
    assert worked == dict.fromkeys(range(50), 1)


async def test_a_handler_that_burns_cpu_for_three_lock_durations_keeps_its_lock(
    processes: Processes, state: State, bus: Bus
) -> None:
    await publish(bus, 1)
    processes.start(BURN_SEC=str(3 * LOCK_SEC))
    await until(lambda: bool(processes.lines("message")))
    (line,) = processes.lines("message")
    assert (line["action"], line["delivery_count"]) == ("done", 0)
    assert len(processes.lines("working")) == 1
    assert processes.lines("lock_lost") == []


async def test_a_handler_whose_lock_is_lost_stops_and_the_next_delivery_has_the_effect(
    processes: Processes, state: State, bus: Bus, tmp_path: Path
) -> None:
    await publish(bus, 1)
    processes.start(WAIT_SEC="3", FAILPOINT=f"renew_lock:raise;once={tmp_path / 'lost'}")
    await until(lambda: len(processes.lines("message")) == 2)
    assert [line["action"] for line in processes.lines("message")] == ["lock_lost", "done"]
    assert await received_parts(bus, 1) == {0: 1}


async def test_sigterm_lets_work_in_hand_finish_and_takes_no_more(processes: Processes, state: State, bus: Bus) -> None:
    process = processes.start(WAIT_SEC="1.5")
    await publish(bus, 4)
    await until(lambda: len(processes.lines("working")) == 2)
    process.terminate()
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert [line["action"] for line in processes.lines("message")] == ["done", "done"]
    assert await recorded(state) == 2


async def test_work_that_outlasts_the_grace_period_is_handed_back_for_another_replica(
    processes: Processes, state: State, bus: Bus
) -> None:
    process = processes.start(WAIT_SEC="50", STOP_GRACE_SEC="0.2")
    await publish(bus, 1)
    await until(lambda: len(processes.lines("working")) == 1)
    process.terminate()
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert [line["action"] for line in processes.lines("message")] == ["handed_back"]
    processes.start()
    assert await received_parts(bus, 1) == {0: 1}


async def test_a_second_signal_forces_the_end(processes: Processes, state: State, bus: Bus) -> None:
    process = processes.start(WAIT_SEC="50", STOP_GRACE_SEC="40")
    await publish(bus, 1)
    await until(lambda: len(processes.lines("working")) == 1)
    process.terminate()
    await until(lambda: len(processes.lines("finishing")) == 1)
    process.terminate()
    assert await asyncio.to_thread(process.wait, 20) == 130
    assert await recorded(state) == 0


async def test_a_service_waits_for_a_broker_that_is_not_there_yet(
    processes: Processes, own_broker: Broker, state: State
) -> None:
    own_broker.stop()
    process = processes.start()
    await until(lambda: bool(processes.lines("link_not_opened")))
    own_broker.start()
    bus = connect(own_broker.settings())
    await publish(bus, 1)
    assert await received_parts(bus, 1) == {0: 1}
    await bus.aclose()
    assert process.poll() is None


async def test_a_cancelled_run_is_left_alone(processes: Processes, state: State, bus: Bus) -> None:
    await state.end_run("run-1", RunStatus.CANCELLED, _now())
    await publish(bus, 2)
    processes.start()
    await until(lambda: len(processes.lines("message")) == 2)
    assert {line["action"] for line in processes.lines("message")} == {"dropped"}
    assert await recorded(state) == 0


PLACES = {"STATE_URL": "sqlite:///state.db", "LAKE_URL": "file:///lake"}


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", MODULE, *arguments],
        env={"PATH": os.environ["PATH"], **PLACES, **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def start(monkeypatch: pytest.MonkeyPatch, *arguments: str, **settings: str) -> int | str | None:
    """The status with which the service ends, without a process: for what ends before anything is begun."""
    for name, value in (PLACES | settings).items():
        monkeypatch.setenv(name, value)
    try:
        return main(SERVICE, arguments)
    except SystemExit as ended:
        return ended.code


def test_help_tells_topics_settings_with_defaults_and_how_it_fails() -> None:
    result = run("--help")
    assert result.returncode == 0
    for text in ("events.extracted", "events.validated", "VALIDATE", "RETRY_DELAYS_SEC", "300,600,1200", "BURN_SEC"):
        assert text in result.stdout


def test_an_argument_that_means_nothing_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(monkeypatch, "--port", "1") == 2


@pytest.mark.parametrize(
    ("setting", "value"),
    [("BURN_SEC", "-1"), ("HEALTH_PORT", "99999"), ("LOG_LEVEL", "LOUD"), ("LAKE_URL", "")],
)
def test_a_wrong_setting_is_named_and_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str, value: str
) -> None:
    assert start(monkeypatch, **{setting: value}) == 2
    said = capsys.readouterr().err
    assert setting in said
    assert "Traceback" not in said


def test_a_wrong_failpoint_is_named_and_ends_the_process() -> None:
    result = run(FAILPOINT="nowhere:kill")
    assert result.returncode == 2
    assert "FAILPOINT" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bus_that_is_not_configured_is_a_failure_with_the_next_step(tmp_path: Path) -> None:
    result = run(STATE_URL=f"sqlite:///{tmp_path / 'state.db'}", HEALTH_PORT="0", SCRATCH_DIR=str(tmp_path))
    assert result.returncode == 1
    assert "bus_settings_invalid" in result.stderr
    assert "SERVICEBUS_CONNECTION_STRING" in result.stderr

"""Runs the command as a user does, and what a command talks to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from libs.common.state import migrate
from tests.integration.command import Ended, call_retl, command_line, environment, start_retl
from tests.integration.demo_week import DemoWeek, demo_week

Retl = Callable[..., Ended]


@pytest.fixture
def retl(tmp_path: Path) -> Retl:
    """Run `retl` in a folder of its own, with only the settings given, as a process."""
    return partial(start_retl, tmp_path)


@pytest.fixture
def called_retl(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Retl:
    """The same without a process, for what one start of the command has shown already."""
    return partial(call_retl, capfd, tmp_path)


@pytest.fixture
def interrupted_retl(tmp_path: Path) -> Retl:
    """Run `retl` like `retl` does, and press Ctrl-C once it tells on standard error what is waited for."""

    def run(*arguments: str, until: str, **settings: str) -> Ended:
        with subprocess.Popen(
            command_line(*arguments),
            cwd=tmp_path,
            env=environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_interrupts,
        ) as process:
            assert process.stderr is not None
            told = ""
            while until not in told:
                line = process.stderr.readline()
                assert line, f"it ended early: {told}"
                told += line
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=200)
            return Ended(process.returncode, out, told + err)

    return run


def _heed_interrupts() -> None:
    """As in a terminal: a shell's background job, which these tests may be part of, is started deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def events_api() -> Iterator[Callable[..., str]]:
    """Start an events API with the given options; its base URL."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", "libs.emulators.events_api", "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return str(json.loads(process.stdout.readline())["base_url"])

    yield start
    for process in started:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def servicebus() -> Iterator[str]:
    """The local Service Bus with the deployed topology; its connection string."""
    process = subprocess.Popen(
        [sys.executable, "-m", "libs.emulators.servicebus", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    yield str(json.loads(process.stdout.readline())["connection_string"])
    process.terminate()
    process.wait()
    process.stdout.close()


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, str]:
    """Settings of a pipeline whose state tables are there and whose bus nobody needs to ask."""
    settings = {"STATE_URL": f"sqlite:///{tmp_path / 'state.db'}", "LAKE_URL": (tmp_path / "lake").as_uri()}
    migrate(settings["STATE_URL"])
    return settings


@pytest.fixture
def pipeline(tables: dict[str, str], servicebus: str) -> dict[str, str]:
    """Settings of a pipeline whose services are all down."""
    return tables | {"SERVICEBUS_CONNECTION_STRING": servicebus}


@pytest.fixture
def start_extractor(tmp_path: Path, pipeline: dict[str, str]) -> Iterator[Callable[..., None]]:
    """Bring the first service of the pipeline up, with these settings besides; it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**settings: str) -> None:
        own = {"HEALTH_HOST": "127.0.0.1", "HEALTH_PORT": "0", "SCRATCH_DIR": str(tmp_path / "scratch")}
        with (tmp_path / "extractor.log").open("wb") as log:
            command = [sys.executable, "-m", "services.extractor"]
            started.append(subprocess.Popen(command, env=environment(pipeline | own | settings), stderr=log))

    yield start
    for process in started:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoWeek:
    return demo_week(tmp_path_factory)

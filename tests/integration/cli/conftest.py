"""Runs the command as a user does: a process, its two outputs, its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Retl = Callable[..., "Ended"]


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """What `--json` printed."""
        return json.loads(self.out)  # type: ignore[no-any-return] # one JSON object


@pytest.fixture
def retl(tmp_path: Path) -> Retl:
    """Run `retl` in a folder of its own, with only the settings given."""

    def run(*arguments: str, **settings: str) -> Ended:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-m", "libs.cli", *arguments],
            cwd=tmp_path,
            env={**kept, **settings},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def interrupted_retl(tmp_path: Path) -> Retl:
    """Run `retl` like `retl` does, and press Ctrl-C once it tells on standard error what is waited for."""

    def run(*arguments: str, until: str, **settings: str) -> Ended:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        with subprocess.Popen(
            [sys.executable, "-m", "libs.cli", *arguments],
            cwd=tmp_path,
            env={**kept, **settings},
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

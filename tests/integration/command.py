"""`retl` as the tests meet it: as the process that a user starts, or called in this one, which saves a second each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from libs.cli.__main__ import main

PATIENCE_SEC = 280
_KEPT = ("PATH", "HOME", "PYTHONPATH")


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    status: int | str | None
    out: str
    err: str

    @property
    def result(self) -> Any:
        """What `--json` printed."""
        return json.loads(self.out)


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "libs.cli", *arguments]


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Only what is given, and what a process needs to start."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | settings


def start_retl(folder: Path, *arguments: str, **settings: str) -> Ended:
    """Run it in `folder` as a process of its own."""
    done = subprocess.run(
        command_line(*arguments),
        cwd=folder,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SEC,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def call_retl(capfd: pytest.CaptureFixture[str], folder: Path, *arguments: str, **settings: str) -> Ended:
    """Run it in `folder` and in this process; what processes that it starts write is seen too."""
    capfd.readouterr()
    with (
        patch.dict(os.environ, environment(settings), clear=True),
        patch.object(sys, "argv", ["retl", *arguments]),
        chdir(folder),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return Ended(ended.value.code, *capfd.readouterr())

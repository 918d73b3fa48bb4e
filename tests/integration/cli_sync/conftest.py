"""A week that really ran: its lake, its state tables, and the org that it was synced to, started again."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest

from libs.cli.__main__ import main

START, END = "2026-01-05", "2026-01-11"


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


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Where a pipeline's things are."""

    folder: Path
    login_url: str

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def signals(self) -> Path:
        return self.lake / "signals" / f"week_start={START}" / f"week_end={END}" / "part-00000.parquet"

    def retl(self, *arguments: str, **settings: str) -> Ended:
        """The command as a user starts it."""
        return run_retl(self.folder, *arguments, **self.settings | settings)

    def here(self, *arguments: str, **settings: str) -> Ended:
        """The command in this process, for what starts no other one."""
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.settings | settings),
            patch.object(sys, "argv", ["retl", *arguments]),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        return Ended(ended.value.code, out.getvalue(), err.getvalue())

    @property
    def settings(self) -> dict[str, str]:
        return {
            "LAKE_URL": self.lake.as_uri(),
            "STATE_URL": f"sqlite:///{self.folder / 'state.db'}",
            "SCRATCH_DIR": str(self.folder / "scratch"),
            "SF_LOGIN_URL": self.login_url,
            "SF_CLIENT_ID": "retl-demo",
            "SF_CLIENT_SECRET": "retl-demo-secret",
        }

    def rows(self) -> list[dict[str, Any]]:
        """The week's published signals."""
        found: list[dict[str, Any]] = pq.read_table(self.signals, partitioning=None).to_pylist()
        return found

    def copy(self, folder: Path, *, ignore: str = "") -> Pipeline:
        """The same pipeline elsewhere, for a test that changes it; the org is shared."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(ignore))
        return replace(self, folder=folder)


def run_retl(folder: Path, *arguments: str, **settings: str) -> Ended:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    command = [sys.executable, "-m", "libs.cli", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=kept | settings, capture_output=True, text=True, timeout=150, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="package")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("pipeline")
    ran = run_retl(folder, "demo", "--events", "400", "--data-dir", str(folder), "--json")
    assert ran.status == 0, ran.err
    command = [sys.executable, "-m", "libs.emulators.salesforce", "--port", "0", "--data", str(folder / "salesforce")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as org:
        assert org.stdout is not None
        yield Pipeline(folder, json.loads(org.stdout.readline())["login_url"])
        org.terminate()
        org.wait(30)


@pytest.fixture
def pipeline_of_my_own(pipeline: Pipeline, tmp_path: Path) -> Callable[..., Pipeline]:
    """Copies of the pipeline that a test may change."""
    return lambda **how: pipeline.copy(tmp_path / "pipeline", **how)

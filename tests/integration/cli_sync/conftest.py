"""A week that really ran: its lake, its state tables, and the org that it was synced to, started again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest

from services.sf_sync.preview import main
from tests.integration.command import Ended, call_retl, environment, start_retl
from tests.integration.demo_week import demo_week

Retl = Callable[..., Ended]
START, END = "2026-01-05", "2026-01-11"


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


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A copy, because the org writes down who logs in."""
    folder = tmp_path_factory.mktemp("pipelines") / "pipeline"
    shutil.copytree(demo_week(tmp_path_factory).folder, folder)
    command = [sys.executable, "-m", "libs.emulators.salesforce", "--port", "0", "--data", str(folder / "salesforce")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as org:
        assert org.stdout is not None
        yield Pipeline(folder, json.loads(org.stdout.readline())["login_url"])
        org.terminate()
        org.wait(30)


@pytest.fixture
def start(tmp_path: Path) -> Retl:
    """Run `retl` on a pipeline, as a process."""

    def run(pipeline: Pipeline, *arguments: str, **settings: str) -> Ended:
        return start_retl(tmp_path, *arguments, **pipeline.settings | settings)

    return run


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Retl:
    """Run `retl` on a pipeline, in this process; what it starts is started."""

    def run(pipeline: Pipeline, *arguments: str, **settings: str) -> Ended:
        return call_retl(capfd, tmp_path, *arguments, **pipeline.settings | settings)

    return run


@pytest.fixture
def preview(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Retl:
    """What `retl sync preview` starts, in this process; what passes between the two, other tests show."""

    def run(pipeline: Pipeline, *arguments: str, **settings: str) -> Ended:
        given = environment(pipeline.settings | settings)
        with (
            patch.dict(os.environ, given, clear=True),
            patch("services.sf_sync.preview.configure_logging"),  # this process's log is pytest's
            chdir(tmp_path),
        ):
            try:
                status: int | str | None = main(arguments)
            except SystemExit as ended:
                status = ended.code
        return Ended(status, *capfd.readouterr())

    return run


@pytest.fixture
def pipeline_of_my_own(pipeline: Pipeline, tmp_path: Path) -> Callable[..., Pipeline]:
    """Copies of the pipeline that a test may change."""
    return lambda **how: pipeline.copy(tmp_path / "pipeline", **how)

"""A week that `retl demo` ran, once for all tests and workers that look at what it left."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.integration.command import Ended, start_retl

EVENTS = 3_000


@dataclass(frozen=True, slots=True)
class DemoWeek:
    """Its data folder, which is to be copied by whoever changes it, and how the command ended."""

    folder: Path
    ended: Ended

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.ended.result
        return result


def demo_week(tmp_path_factory: pytest.TempPathFactory) -> DemoWeek:
    """Whichever worker comes first runs it; the others wait for that."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    told = shared / "demo-week.json"
    with (shared / "demo-week.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            ran = start_retl(shared, "demo", "--events", str(EVENTS), "--data-dir", "demo-week", "--json")
            told.write_bytes(msgspec.json.encode(ran))
        ended = msgspec.json.decode(told.read_bytes(), type=Ended)
    assert ended.status == 0, ended.err
    return DemoWeek(shared / "demo-week", ended)

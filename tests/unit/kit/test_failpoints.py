from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from libs.common import failpoints
from libs.common.errors import SettingsError
from libs.common.failpoints import FailpointError, failpoint


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.configure(None)


async def test_without_the_setting_nothing_happens() -> None:
    failpoints.configure(None)
    await failpoint("after_commit")


async def test_the_named_point_fires_once() -> None:
    failpoints.configure("after_commit:raise")
    await failpoint("after_work")
    with pytest.raises(FailpointError):
        await failpoint("after_commit")
    await failpoint("after_commit")


async def test_conditions_choose_the_part_and_the_service() -> None:
    failpoints.configure("after_commit@service=loader,part=3:raise", service="loader")
    await failpoint("after_commit", part=2)
    with pytest.raises(FailpointError):
        await failpoint("after_commit", part=3)


async def test_another_service_with_the_same_environment_is_left_alone() -> None:
    failpoints.configure("after_commit@service=loader:raise", service="gate")
    await failpoint("after_commit", part=3)


async def test_with_a_file_it_fires_once_over_restarts(tmp_path: Path) -> None:
    setting = f"before_work:raise;once={tmp_path / 'fired'}"
    failpoints.configure(setting)
    with pytest.raises(FailpointError):
        await failpoint("before_work")
    failpoints.configure(setting)
    await failpoint("before_work")


async def test_several_points_may_be_armed() -> None:
    failpoints.configure("before_work:raise after_work:raise")
    for point in ("before_work", "after_work"):
        with pytest.raises(FailpointError):
            await failpoint(point)


async def test_a_hang_ends_with_a_cancellation() -> None:
    failpoints.configure("before_settle:hang")
    hanging = asyncio.create_task(failpoint("before_settle"))
    await asyncio.sleep(0)
    assert not hanging.done()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging


async def test_a_hang_ends_when_its_file_is_there(tmp_path: Path) -> None:
    failpoints.configure(f"before_settle:hang;once={tmp_path / 'reached'};until={tmp_path / 'go'}")
    hanging = asyncio.create_task(failpoint("before_settle"))
    await asyncio.sleep(0)
    assert (tmp_path / "reached").exists()
    assert not hanging.done()
    (tmp_path / "go").touch()
    await asyncio.wait_for(hanging, 10)


async def test_conditions_choose_the_message_in_hand_by_what_the_log_knows_of_it() -> None:
    failpoints.configure("after_work@message_id=run-1/events.extracted/00002:raise")
    with structlog.contextvars.bound_contextvars(message_id="run-1/events.extracted/00001"):
        await failpoint("after_work")
    with (
        structlog.contextvars.bound_contextvars(message_id="run-1/events.extracted/00002"),
        pytest.raises(FailpointError),
    ):
        await failpoint("after_work")


def test_a_kill_is_a_sigkill() -> None:
    code = (
        "import asyncio; from libs.common import failpoints as f; f.configure('after_work:kill');"
        "asyncio.run(f.failpoint('after_work'))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("setting", ["nowhere:kill", "after_work", "after_work:explode", "after_work@part:3 :kill"])
def test_a_failpoint_that_would_never_fire_is_refused(setting: str) -> None:
    with pytest.raises(SettingsError):
        failpoints.configure(setting)

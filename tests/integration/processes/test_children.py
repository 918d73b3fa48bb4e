"""The processes of a local run: started, started again when they die, and given up with the reason."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from libs.cli.folder_lock import FolderInUseError, FolderUnusableError, lock_folder
from libs.cli.processes import MAX_RESTARTS, Child, ChildError, Children

ANNOUNCES = """
import json, os, pathlib, signal, sys, time
starts = pathlib.Path("starts")
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
{before}
print(json.dumps({{"pid": os.getpid()}}), flush=True)
time.sleep(600)
"""
KILLED_AT_FIRST = "if len(starts.read_text()) <= {times}: os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def said() -> list[str]:
    return []


def child(folder: Path, before: str = "") -> Child:
    (folder / "stub.py").write_text(ANNOUNCES.format(before=before))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}
    return Child(
        name="stub", module="stub", arguments=[], log_path=folder / "stub.log", env=environment, announces=True
    )


async def test_one_that_dies_is_started_again(tmp_path: Path, said: list[str]) -> None:
    children, stub = Children(said.append), child(tmp_path)
    await children.start(stub)
    first = stub.ready["pid"]
    watching = asyncio.create_task(children.watch())
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(30):
        while stub.ready["pid"] == first:  # noqa: ASYNC110  # another process changes it
            await asyncio.sleep(0.01)
    watching.cancel()
    await children.stop()
    assert said == ["stub died (signal SIGKILL); starting it again (1 of 5)"]
    assert not psutil.pid_exists(stub.ready["pid"])


async def test_one_that_is_killed_while_it_starts_is_started_again(tmp_path: Path, said: list[str]) -> None:
    children, stub = Children(said.append), child(tmp_path, KILLED_AT_FIRST.format(times=2))
    await children.start(stub)
    await children.stop()
    assert len(said) == 2


async def test_one_that_dies_too_often_is_given_up(tmp_path: Path, said: list[str]) -> None:
    children, stub = Children(said.append), child(tmp_path, KILLED_AT_FIRST.format(times=99))
    with pytest.raises(ChildError, match="stub died 6 times"):
        await children.start(stub)
    await children.stop()
    assert len(said) == MAX_RESTARTS


async def test_one_that_ends_by_itself_before_it_is_ready_is_given_up_at_once(tmp_path: Path, said: list[str]) -> None:
    children, stub = Children(said.append), child(tmp_path, "sys.exit('no such setting')")
    with pytest.raises(ChildError, match="no such setting"):
        await children.start(stub)
    await children.stop()
    assert said == []


COMMAND = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from libs.cli.folder_lock import FolderInUseError, FolderUnusableError, lock_folder
from libs.cli.processes import Child, Children

async def main():
    folder = Path(sys.argv[1])
    log, env = folder / "stub.log", dict(os.environ)
    stub = Child(name="stub", module="stub", arguments=[], log_path=log, env=env, announces=True)
    await Children(print).start(stub)
    print(stub.ready["pid"], flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_none_outlives_a_command_that_is_killed(tmp_path: Path) -> None:
    child(tmp_path)  # for its module
    command = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COMMAND,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
    )
    assert command.stdout is not None
    stub = psutil.Process(int(await command.stdout.readline()))
    command.kill()
    await command.wait()
    await asyncio.to_thread(stub.wait, 20)
    assert not stub.is_running()


def test_a_data_folder_serves_one_command_at_a_time(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(FolderInUseError, match=f"process {os.getpid()}"):
        lock_folder(tmp_path)
    lock_folder(tmp_path).close()


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnusableError, match=r"file.* cannot be used: Not a directory"):
        lock_folder(tmp_path / "file" / "data")

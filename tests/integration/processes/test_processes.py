"""Worker processes: results, errors, death, and that none outlives its service."""

import asyncio
import errno
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from libs.common.processes import Processes, WorkerDiedError
from libs.common.scratch import ScratchFullError, scratch_folder
from services.loader.merge import merge_events

WORKER_OF_A_SERVICE = """
import asyncio, os
from libs.common.processes import Processes

async def main():
    async with Processes(1) as processes:
        print(await processes.run(os.getpid), flush=True)
        await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_work_is_done_in_another_process() -> None:
    async with Processes(1) as processes:
        assert await processes.run(os.getpid) != os.getpid()


async def test_an_error_of_the_work_is_raised_here() -> None:
    async with Processes(1) as processes:
        with pytest.raises(FileNotFoundError, match="no such place"):
            await processes.run(os.listdir, "/no such place")


async def test_a_worker_that_dies_is_a_transient_error_and_the_next_one_works() -> None:
    async with Processes(1) as processes:
        with pytest.raises(WorkerDiedError) as caught:
            await processes.run(os._exit, 3)
        assert caught.value.transient
        assert await processes.run(os.getpid) != os.getpid()


async def test_workers_are_there_and_prepared_before_the_first_work(tmp_path: Path) -> None:
    async with Processes(1, partial(os.chdir, tmp_path)) as processes:
        worker = await _child_of(os.getpid())
        assert await processes.run(os.getpid) == worker.pid
        assert await processes.run(os.getcwd) == str(tmp_path)


async def test_a_worker_that_takes_the_place_of_a_dead_one_is_prepared_too(tmp_path: Path) -> None:
    async with Processes(1, partial(os.chdir, tmp_path)) as processes:
        with pytest.raises(WorkerDiedError):
            await processes.run(os._exit, 3)
        assert await processes.run(os.getcwd) == str(tmp_path)


async def test_workers_that_cannot_be_prepared_are_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(WorkerDiedError):
        async with Processes(1, partial(os.chdir, tmp_path / "absent")):
            pass


async def test_all_who_wait_for_a_worker_that_dies_are_told() -> None:
    async with Processes(1) as processes:
        work = [processes.run(time.sleep, 30), processes.run(os.getpid)]
        waiting = asyncio.gather(*work, return_exceptions=True)
        worker = await _child_of(os.getpid())
        os.kill(worker.pid, signal.SIGKILL)
        assert [type(result) for result in await waiting] == [WorkerDiedError, WorkerDiedError]
        assert await processes.run(os.getpid) not in (os.getpid(), worker.pid)


async def _child_of(pid: int) -> psutil.Process:
    async with asyncio.timeout(20):
        while True:
            for child in psutil.Process(pid).children():
                if "spawn_main" in " ".join(child.cmdline()):
                    return child
            await asyncio.sleep(0.01)


async def test_no_worker_outlives_a_service_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(WORKER_OF_A_SERVICE)
    service = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
    assert service.stdout is not None
    worker = psutil.Process(int(await service.stdout.readline()))
    service.kill()
    await service.wait()
    await asyncio.to_thread(worker.wait, 20)
    assert not worker.is_running()


def test_a_scratch_folder_is_gone_in_every_end(tmp_path: Path) -> None:
    def work() -> None:
        with scratch_folder(tmp_path, "x") as folder:
            (folder / "file").touch()
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(tmp_path: Path, number: int) -> None:
    with pytest.raises(ScratchFullError, match=r"No space left under .* for part"), scratch_folder(tmp_path, "part"):
        raise OSError(number, "full")


def test_arrow_tells_a_full_disk_as_such(tmp_path: Path) -> None:
    with pytest.raises(ScratchFullError), scratch_folder(tmp_path, "part"):
        merge_events([], Path("/dev/full"))

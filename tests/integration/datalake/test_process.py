"""The emulator as a process: how it starts, stops, survives, and makes trouble on order."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.filedatalake.aio import FileSystemClient, LinearRetry

COMMAND = [sys.executable, "-m", "libs.emulators.datalake"]


class Process:
    """A running emulator that has said it is ready; what a kill leaves of its temporary folder is left in `scratch`."""

    def __init__(self, *options: str, scratch: Path) -> None:
        command = [*COMMAND, "--port", "0", *options]
        environment = os.environ | {"TMPDIR": str(scratch)}
        self.popen = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert self.popen.stdout is not None
        self.ready: dict[str, Any] = json.loads(self.popen.stdout.readline())

    def client(self) -> FileSystemClient:
        retry = LinearRetry(backoff=0, retry_total=2, random_jitter_range=0)
        text = self.ready["connection_string"]
        return FileSystemClient.from_connection_string(text, "lake", retry_policy=retry)

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.ready['port']}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=10) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None

    def stop(self, signal_number: int) -> int:
        self.popen.send_signal(signal_number)
        self.popen.communicate(timeout=10)
        return self.popen.returncode


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def new(*options: str) -> Process:
        started.append(Process(*options, scratch=tmp_path))
        return started[-1]

    yield new
    for process in started:
        process.popen.kill()
        process.popen.communicate(timeout=10)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_stops_when_told(start: Start, signal_number: int) -> None:
    process = start("--container", "lake", "--container", "other")
    assert process.ready["ready"] is True
    assert f"BlobEndpoint=http://127.0.0.1:{process.ready['port']}/devacct;" in process.ready["connection_string"]
    assert process.request("GET", "/health") == (
        200,
        {"status": "ok", "account": "devacct", "containers": ["lake", "other"]},
    )
    assert process.stop(signal_number) == 0


async def test_account_and_key_are_settable(start: Start) -> None:
    process = start("--container", "lake", "--account", "mine", "--key", "bXkga2V5")
    assert "AccountName=mine;AccountKey=bXkga2V5;" in process.ready["connection_string"]
    async with process.client() as lake:
        await lake.create_directory("dir")


@pytest.mark.parametrize("options", [[], ["--port", "0", "--container", "No"], ["--port", "0", "--key", "§"]])
def test_wrong_usage_ends_with_status_2(options: list[str]) -> None:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert done.stdout == ""


async def test_everything_answered_survives_kill_9(start: Start, tmp_path: Path) -> None:
    first = start("--container", "lake", "--data", str(tmp_path))
    async with first.client() as lake:
        await lake.get_file_client("dir/whole").upload_data(b"x" * 900_000, overwrite=True)
        await lake.get_file_client("dir/whole").rename_file("lake/dir/renamed")
        begun = lake.get_file_client("begun")
        await begun.create_file()
        await begun.append_data(b"before ", offset=0)
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL

    second = start("--container", "lake", "--data", str(tmp_path))
    async with second.client() as lake:
        begun = lake.get_file_client("begun")
        assert (await begun.get_file_properties()).size == 0
        await begun.append_data(b"after", offset=7)
        await begun.flush_data(12)
        assert await (await begun.download_file()).readall() == b"before after"
        stream = await lake.get_file_client("dir/renamed").download_file()
        assert await stream.readall() == b"x" * 900_000
        assert [item.name async for item in lake.get_paths()] == ["begun", "dir", "dir/renamed"]


async def test_large_files_pass_through_without_filling_the_memory(start: Start) -> None:
    process = start("--container", "lake")
    peak_before = _peak_rss_kib(process.popen.pid)
    async with process.client() as lake:
        file = lake.get_file_client("large")
        await file.create_file()
        for index in range(16):
            await file.append_data(io.BytesIO(os.urandom(8 << 20)), offset=index * (8 << 20))
        await file.flush_data(128 << 20)
        received = 0
        async for chunk in (await file.download_file()).chunks():
            received += len(chunk)
    assert received == 128 << 20
    assert _peak_rss_kib(process.popen.pid) - peak_before < 40 << 10


def _peak_rss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


async def test_faults_are_ordered_shown_and_cancelled_over_http(start: Start) -> None:
    process = start("--container", "lake")
    fault = {"effect": "error", "operation": "path.create", "status": 503, "times": 2, "retry_after_sec": 1}
    assert process.request("POST", "/_emulator/faults", fault)[0] == 201
    async with process.client() as lake:
        await lake.get_file_client("file").create_file()  # the client's two retries bridge it
    assert process.request("GET", "/_emulator/faults") == (200, [])
    process.request("POST", "/_emulator/faults", {"effect": "drop", "times": 99})
    assert [item["effect"] for item in process.request("GET", "/_emulator/faults")[1]] == ["drop"]
    assert process.request("DELETE", "/_emulator/faults") == (204, None)
    async with process.client() as lake:
        assert await lake.get_file_client("file").exists()


@pytest.mark.parametrize(
    "fault", [{"effect": "explode"}, {"effect": "drop", "time": 1}, {"effect": "drop", "times": 0}]
)
async def test_a_fault_that_makes_no_sense_is_refused(start: Start, fault: object) -> None:
    process = start()
    with pytest.raises(urllib.error.HTTPError, match="400"):
        await asyncio.to_thread(process.request, "POST", "/_emulator/faults", fault)

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WEEK = "/events?page=3&page_size=50&start_date=2019-10-07&end_date=2019-10-13"
Launch = Callable[..., tuple["subprocess.Popen[str]", dict[str, Any]]]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start the emulator as a process and wait for its ready line; whatever still runs at the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        command = [sys.executable, "-m", "libs.emulators.events_api", "--port", "0", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        processes.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def get(url: str, key: str = "k") -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})) as response:
        body: bytes = response.read()
        return body


def test_one_line_says_where_it_is_ready(launch: Launch) -> None:
    _, ready = launch("--api-key", "k", "--events", "1000")
    assert ready == {"ready": True, "port": ready["port"], "base_url": f"http://127.0.0.1:{ready['port']}"}
    assert len(json.loads(get(ready["base_url"] + WEEK))) == 50


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(launch: Launch, signal_number: signal.Signals) -> None:
    process, _ = launch()
    process.send_signal(signal_number)
    assert process.wait(timeout=20) == 0
    assert process.stdout is not None
    assert process.stdout.read() == ""


def test_killed_and_started_again_it_serves_the_same_pages(launch: Launch) -> None:
    options = ["--events", "5000", "--seed", "3", "--bad-pct", "2", "--body", "data", "--total", "field"]
    process, ready = launch(*options)
    before = get(ready["base_url"] + WEEK)
    process.kill()
    process.wait(timeout=20)
    _, ready = launch(*options)
    assert get(ready["base_url"] + WEEK) == before


def test_it_serves_a_file(launch: Launch, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("event_time,event_type,price,user_id\n2019-10-08 00:00:00 UTC,view,1.50,7\n")
    _, ready = launch("--file", str(path))
    body = get(ready["base_url"] + WEEK.replace("page=3", "page=1"))
    assert body == b'[{"event_time":"2019-10-08 00:00:00 UTC","event_type":"view","price":1.50,"user_id":7}]'


def test_a_port_in_use_ends_it_with_a_reason(launch: Launch) -> None:
    _, ready = launch()
    command = [sys.executable, "-m", "libs.emulators.events_api", "--port", str(ready["port"])]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{ready['port']}" in second.stderr
    assert "Traceback" not in second.stderr

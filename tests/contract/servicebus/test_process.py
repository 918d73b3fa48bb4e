"""The emulator as a process: what it prints, how it ends, and what it says when it cannot start."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.servicebus.conftest import EmulatorProcess


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "libs.emulators.servicebus", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_the_ready_line_tells_the_ports_and_how_to_connect(own_emulator: EmulatorProcess) -> None:
    ready = own_emulator.ready

    assert ready["ready"] is True
    assert ready["port"] != ready["admin_port"]
    assert ready["connection_string"].startswith(f"Endpoint=sb://localhost:{ready['port']};")
    assert ready["connection_string"].endswith("UseDevelopmentEmulator=true;")


def test_health_and_counts_are_served_over_http(own_emulator: EmulatorProcess) -> None:
    assert own_emulator.get("/health") == {"status": "healthy"}
    counts = own_emulator.get("/counts")
    assert counts["entities"]["conformance.plain/Subscriptions/first"]["dead_letter"] == 0
    assert counts["topics"]["conformance.plain"] == {"scheduled": 0}


def test_without_a_topology_argument_it_has_the_entities_of_the_deployment(
    start_emulator: Callable[..., EmulatorProcess],
) -> None:
    entities = start_emulator().get("/counts")["entities"]

    assert set(entities) == {
        "week.requested/Subscriptions/extractor",
        "events.extracted/Subscriptions/validator",
        "events.validated/Subscriptions/loader",
        "data.loaded/Subscriptions/gate",
        "gate.passed/Subscriptions/sf_sync",
    }


def test_it_ends_cleanly_on_sigterm(start_emulator: Callable[..., EmulatorProcess], tmp_path: Path) -> None:
    assert start_emulator("--data", str(tmp_path)).stop() == 0


def test_a_port_that_is_taken_is_an_error_with_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--port", str(port))

    assert result.returncode == 1
    assert str(port) in result.stderr
    assert result.stdout == ""


def test_two_emulators_cannot_share_a_data_directory(
    start_emulator: Callable[..., EmulatorProcess], tmp_path: Path
) -> None:
    start_emulator("--data", str(tmp_path))

    result = run("--port", "0", "--data", str(tmp_path))

    assert result.returncode == 1
    assert "stop the emulator that uses it" in result.stderr


def _queue(**properties: object) -> dict[str, Any]:
    queue = {"Name": "q", "Properties": properties}
    return {"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Queues": [queue]}]}}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "missing required field `UserConfig`"),
        (_queue(MaxDeliveryCount="many"), "$.UserConfig.Namespaces[0].Queues[0].Properties.MaxDeliveryCount"),
        (_queue(LockDuration="1 minute"), "queue q: LockDuration: '1 minute' is no duration"),
        (_queue(RequiresSession=True), "queue q: RequiresSession is not supported"),
    ],
)
def test_a_topology_that_cannot_be_used_is_an_error_with_its_place(
    tmp_path: Path, content: dict[str, Any], complaint: str
) -> None:
    file = tmp_path / "topology.json"
    file.write_text(json.dumps(content))

    result = run("--port", "0", "--topology", str(file))

    assert result.returncode == 1
    assert complaint in result.stderr


def test_a_topology_that_is_not_there_is_an_error_with_its_path(tmp_path: Path) -> None:
    result = run("--port", "0", "--topology", str(tmp_path / "nowhere.json"))

    assert result.returncode == 1
    assert "nowhere.json" in result.stderr

"""The file for Microsoft's emulators and real endpoints, as far as it can be tried without them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import EMULATORS, ROOT, SERVICES, docker

pytestmark = pytest.mark.timeout(400)

FILES = ("-f", "docker-compose.yml", "-f", "docker-compose.azure.yml")
LOOK = """
import os, pyodbc
try:
    pyodbc.connect(f"DRIVER={os.environ['ODBC_DRIVER']};SERVER=tcp:127.0.0.1,9;UID=u;PWD=p", timeout=1)
except pyodbc.Error as error:
    print(error.args[0])
"""


@pytest.fixture
def merged(engine: None, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What compose makes of both files: its services."""
    endpoints = tmp_path / "endpoints"
    endpoints.write_text("LAKE_URL=abfss://lake@account.dfs.core.windows.net\nAPI_BASE_URL=https://api.example\n")

    def merge(**environment: str) -> dict[str, Any]:
        done = subprocess.run(
            ["docker", "compose", *FILES, "config", "--format", "json"],
            cwd=ROOT,
            env={**os.environ, "AZURE_ENV_FILE": str(endpoints), **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        services: dict[str, Any] = json.loads(done.stdout)["services"]
        return services

    return merge


def test_the_stand_ins_make_way_and_the_lock_down_stays(merged: Callable[..., dict[str, Any]]) -> None:
    services = merged(ACCEPT_EULA="Y", MSSQL_SA_PASSWORD="a-strong-one")
    assert set(services) & set(EMULATORS) == {"servicebus"}
    assert services["servicebus"]["image"].startswith("mcr.microsoft.com/azure-messaging/servicebus-emulator")
    for name in SERVICES:
        assert services[name]["build"]["target"] == "runtime-odbc"
        assert services[name]["read_only"] is True
        assert services[name]["environment"]["STATE_URL"].startswith("mssql+pyodbc://")
        assert services[name]["environment"]["LAKE_URL"] == "abfss://lake@account.dfs.core.windows.net"
        assert "DATALAKE_CONNECTION_STRING" not in services[name]["environment"]
        assert "SF_ALLOW_PLAIN_HTTP" not in services[name]["environment"]


@pytest.mark.skipif(os.environ.get("ACCEPT_EULA") != "Y", reason="ACCEPT_EULA=Y accepts the ODBC driver's licence")
def test_the_image_with_the_odbc_driver_loads_it(merged: Callable[..., dict[str, Any]]) -> None:
    described = merged(ACCEPT_EULA="Y", MSSQL_SA_PASSWORD="a-strong-one")["gate"]
    build = described["build"]
    arguments = [word for name, value in build["args"].items() for word in ("--build-arg", f"{name}={value}")]
    tag = "retl-gate-odbc:e2e"
    docker("build", "-f", build["dockerfile"], "--target", build["target"], *arguments, "-t", tag, build["context"])
    asked = docker("run", "--rm", "--read-only", "--network", "none", "--entrypoint", "python", tag, "-c", LOOK)
    assert asked.strip() == "HYT00"  # the driver's own "login timeout", not the manager's "file not found"

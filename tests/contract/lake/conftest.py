"""The lakes that must all behave alike: a folder, ADLS Gen2 (the emulator), and the account of LAKE_TEST_URL, if set.

For that real account also set DATALAKE_CONNECTION_STRING, or be logged in for DefaultAzureCredential.
"""

import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from azure.storage.filedatalake.aio import LinearRetry

from libs.common.lake import Lake, adls_client, open_lake
from libs.emulators.datalake.account import Account
from libs.emulators.datalake.faults import Faults
from libs.emulators.datalake.server import Server

LIVE_URL = os.environ.get("LAKE_TEST_URL", "")


@dataclass
class EmulatedAccount:
    """An emulated account inside this process: lakes on it, and faults for them."""

    account: Account
    faults: Faults
    connection_string: str
    lakes: list[Lake] = field(default_factory=list)

    def open_lake(self, prefix: str = "", *, container: str = "lake", connection_string: str | None = None) -> Lake:
        url = f"abfss://{container}@{self.account.name}.dfs.core.windows.net/{prefix}"
        lake = open_lake(url, connection_string=connection_string or self.connection_string)
        self.lakes.append(lake)
        return lake


@pytest.fixture
async def emulated(tmp_path: Path) -> AsyncIterator[EmulatedAccount]:
    account = Account(tmp_path / "account")
    account.ensure_container("lake")
    server = Server(account)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    secret = account.connection_string("127.0.0.1", runner.addresses[0][1])
    emulated = EmulatedAccount(account, server.faults, secret)
    yield emulated
    for lake in emulated.lakes:
        await lake.aclose()
    await runner.cleanup()
    account.close()


@pytest.fixture
def without_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The production number of retries, without the waiting."""
    monkeypatch.setattr(
        adls_client, "quick_retries", lambda: LinearRetry(backoff=0, retry_total=3, random_jitter_range=0)
    )


@pytest.fixture
def folder_lake(tmp_path: Path) -> Lake:
    return open_lake((tmp_path / "lake").as_uri())


@pytest.fixture
def adls_lake(emulated: EmulatedAccount) -> Lake:
    return emulated.open_lake("some%20prefix/%C3%BC")


@pytest.fixture
async def live_lake() -> AsyncIterator[Lake]:
    url = f"{LIVE_URL.rstrip('/')}/contract-{uuid.uuid4().hex}"
    lake = open_lake(url, connection_string=os.environ.get("DATALAKE_CONNECTION_STRING"))
    yield lake
    for entry in {info.path.split("/")[0] for info in await lake.list("")}:
        await lake.delete(entry)
    await lake.aclose()


@pytest.fixture(params=["folder_lake", "adls_lake", *(["live_lake"] if LIVE_URL else [])])
def lake(request: pytest.FixtureRequest) -> Lake:
    chosen: Lake = request.getfixturevalue(request.param)
    return chosen

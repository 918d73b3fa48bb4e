"""An emulated account inside this process, and the official SDK's client for it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from azure.storage.filedatalake.aio import DataLakeServiceClient, FileSystemClient, LinearRetry

from libs.emulators.datalake.account import Account
from libs.emulators.datalake.server import Server


@dataclass
class Clock:
    """Epoch seconds that move when a test says so."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def endpoint(tmp_path: Path, clock: Clock) -> AsyncIterator[str]:
    """The account's connection string."""
    account = Account(tmp_path / "account", clock=clock)
    account.ensure_container("lake")
    runner = web.AppRunner(Server(account).application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield account.connection_string("127.0.0.1", runner.addresses[0][1])
    await runner.cleanup()
    account.close()


@pytest.fixture
async def service(endpoint: str) -> AsyncIterator[DataLakeServiceClient]:
    retry = LinearRetry(backoff=0, retry_total=1, random_jitter_range=0)
    async with DataLakeServiceClient.from_connection_string(endpoint, retry_policy=retry) as client:
        yield client


@pytest.fixture
def lake(service: DataLakeServiceClient) -> FileSystemClient:
    return service.get_file_system_client("lake")

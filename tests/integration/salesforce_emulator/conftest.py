"""The emulator as a process, and clients for it: plain requests and simple-salesforce, both unmodified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce

DATA = "/services/data/v59.0"
OBJECT = "Customer_Weekly_Metric__c"
KEY = "External_Signal_Id__c"
ENDED = ("JobComplete", "Failed", "Aborted")
COLUMNS = (KEY, "External_Customer_Id__c", "Week_Start__c", "Week_End__c", "Total_Spend_Week__c", "Top_Brand__c")
_DEADLINE_SEC = 20.0
_prefixes = count()


class PlainHttp(HTTPAdapter):
    """Sends what simple-salesforce addresses to https, and to salesforce.com, to the emulator over http."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        asked = urlsplit(str(request.url))
        request.url = asked._replace(scheme=self._target.scheme, netloc=self._target.netloc).geturl()
        return super().send(request, *args, **kwargs)


class Emulator:
    """One process of the emulator; what a kill leaves of its temporary folder is left in `scratch`."""

    def __init__(self, *arguments: str, scratch: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "libs.emulators.salesforce", "--port", "0", "--log-level", "ERROR", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ({"TMPDIR": str(scratch)} if scratch else {}),
        )
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        assert ready["ready"] is True
        self.url: str = ready["login_url"]

    def stop(self) -> int:
        """End the process as an operator would; return its exit status."""
        self.process.terminate()
        return self._ended()

    def kill(self) -> None:
        """End the process as a crash would."""
        self.process.kill()
        self._ended()

    def _ended(self) -> int:
        assert self.process.stdout is not None
        status = self.process.wait(_DEADLINE_SEC)
        self.process.stdout.close()
        return status

    def faults(self, *faults: Mapping[str, Any]) -> None:
        requests.post(f"{self.url}/_emulator/faults", json=list(faults), timeout=5).raise_for_status()

    def clear_faults(self) -> None:
        requests.delete(f"{self.url}/_emulator/faults", timeout=5).raise_for_status()

    def stats(self) -> dict[str, Any]:
        body: dict[str, Any] = requests.get(f"{self.url}/_emulator/stats", timeout=5).json()
        return body

    def attempts(self, minimum: int = 1) -> dict[str, int]:
        response = requests.get(f"{self.url}/_emulator/attempts/{OBJECT}?min={minimum}", timeout=5)
        return {entry["external_id"]: entry["times"] for entry in map(json.loads, response.text.splitlines())}

    def records(self) -> list[dict[str, Any]]:
        response = requests.get(f"{self.url}/_emulator/records/{OBJECT}", timeout=30)
        return [json.loads(line) for line in response.text.splitlines()]


class Client:
    """A logged-in session of plain requests, with the steps of a bulk job."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        self.login()

    def login(self) -> None:
        form = {"grant_type": "client_credentials", "client_id": "retl-demo", "client_secret": "retl-demo-secret"}
        answer = self.http.post(f"{self.url}/services/oauth2/token", data=form, timeout=5)
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.http.request(method, f"{self.url}{DATA}{path}", **{"timeout": 20, **options})

    def create(self, **changes: Any) -> str:
        body = {"object": OBJECT, "operation": "upsert", "externalIdFieldName": KEY, "lineEnding": "LF"} | changes
        answer = self.call("POST", "/jobs/ingest", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def upload(self, job: str, content: bytes | Iterator[bytes] | BinaryIO) -> requests.Response:
        return self.call("PUT", f"/jobs/ingest/{job}/batches", data=content, headers={"Content-Type": "text/csv"})

    def close(self, job: str) -> requests.Response:
        return self.call("PATCH", f"/jobs/ingest/{job}", json={"state": "UploadComplete"})

    def job(self, job: str) -> dict[str, Any]:
        answer = self.call("GET", f"/jobs/ingest/{job}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def wait(self, job: str, states: tuple[str, ...] = ENDED) -> dict[str, Any]:
        """Poll until the job is in one of the states."""
        deadline = time.monotonic() + _DEADLINE_SEC
        while (found := self.job(job))["state"] not in states:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def run(self, content: bytes, **changes: Any) -> dict[str, Any]:
        """Take a job through all its steps and return how it ended."""
        job = self.create(**changes)
        assert self.upload(job, content).status_code == 201
        assert self.close(job).status_code == 200
        return self.wait(job)

    def results(self, job: str, which: str) -> str:
        answer = self.call("GET", f"/jobs/ingest/{job}/{which}")
        assert answer.status_code == 200, answer.text
        return answer.text

    def query(self, soql: str) -> dict[str, Any]:
        answer = self.call("GET", "/query", params={"q": soql})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[Emulator]:
    emulator = Emulator()
    yield emulator
    assert emulator.stop() == 0


@pytest.fixture
def emulator(shared_emulator: Emulator) -> Iterator[Emulator]:
    """The process that tests share; faults end with the test, external ids come from ``prefix``."""
    yield shared_emulator
    shared_emulator.clear_faults()


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    made = Client(emulator.url)
    yield made
    made.http.close()


@pytest.fixture
def prefix() -> str:
    """Keeps the external ids of one test apart from those of the others."""
    return f"t{next(_prefixes)}-"


@pytest.fixture
def rows(prefix: str) -> Callable[..., bytes]:
    """Builds the CSV of ``number`` complete rows, external ids ``{prefix}0`` and on."""

    def build(number: int, *, spend: str = "12.50", brand: str = "acme") -> bytes:
        lines = [",".join(COLUMNS)]
        lines += [f"{prefix}{i},c{i},2019-10-07,2019-10-13,{spend},{brand}" for i in range(number)]
        return ("\n".join(lines) + "\n").encode()

    return build


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Emulator]]:
    """Starts processes of the test's own."""
    started: list[Emulator] = []

    def make(*arguments: str) -> Emulator:
        started.append(Emulator(*arguments, scratch=tmp_path))
        return started[-1]

    yield make
    for one in started:
        one.process.kill()
        one.process.wait()
        assert one.process.stdout is not None
        one.process.stdout.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """Makes plain clients of other processes than the shared one."""
    made: list[Client] = []

    def make(url: str) -> Client:
        made.append(Client(url))
        return made[-1]

    yield make
    for one in made:
        one.http.close()


@pytest.fixture
def salesforce() -> Iterator[Callable[..., Salesforce]]:
    """Logs in with simple-salesforce; the domain ``emulator`` leads to the emulator's address."""
    sessions: list[requests.Session] = []

    def make(url: str, **credentials: Any) -> Salesforce:
        session = requests.Session()
        sessions.append(session)
        adapter = PlainHttp(url)
        session.mount("https://emulator.salesforce.com", adapter)
        session.mount(f"https://{urlsplit(url).netloc}", adapter)
        chosen = credentials or {"consumer_key": "retl-demo", "consumer_secret": "retl-demo-secret"}
        return Salesforce(domain="emulator", session=session, **chosen)

    yield make
    for session in sessions:
        session.close()

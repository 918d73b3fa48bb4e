"""The whole pipeline on this machine: emulators and services as child processes under one folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dotenv import dotenv_values

from libs.cli.folder_lock import lock_folder
from libs.cli.processes import Child, Children, free_port
from libs.common.settings import CommonSettings, load_settings

SERVICES = ("extractor", "validator", "loader", "gate", "sf_sync")
LOCAL_RETRY_DELAYS = "1,2,4"
"""Seconds: an operator who watches has no patience for the twenty minutes of production."""
DEMO_API_KEY = "demo-key"  # of an emulator on loopback, so no secret
SF_CLIENT_ID, SF_CLIENT_SECRET = "retl-demo", "retl-demo-secret"
_SALESFORCE_NAMES = (
    "SF_LOGIN_URL",
    "SF_CLIENT_ID",
    "SF_CLIENT_SECRET",
    "SF_PRIVATE_KEY_FILE",
    "SF_USERNAME",
    "SF_PASSWORD",
    "SF_SECURITY_TOKEN",
    "SF_DOMAIN",
)
_OURS = ("SERVICEBUS_NAMESPACE", "DATALAKE_CONNECTION_STRING")
"""Settings that would lead a local run away from the local stack."""


@dataclass(frozen=True, slots=True)
class EventsEmulator:
    """What the emulated events API serves: so many events a week, `bad_pct` percent of them bad."""

    events: int
    bad_pct: float = 1.0
    seed: int = 7


class LocalStack:
    """Starts what is needed under `data_dir` (lake/, state.db, bus/, salesforce/, logs/) and points the services at it.

    With `events` the events API is the emulator, otherwise the one in `environment`. Salesforce is the emulator unless
    `environment` names a real one and `events` is None.
    """

    def __init__(
        self,
        data_dir: Path,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        *,
        events: EventsEmulator | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self._events = events
        self._own_salesforce = events is not None or not environment.get("SF_LOGIN_URL")
        self._children = Children(say)
        self._folder_lock: IO[str] | None = None
        dropped = (*_OURS, *(_SALESFORCE_NAMES if self._own_salesforce else ()))
        self.environment = {name: value for name, value in environment.items() if name not in dropped}

    @property
    def logs(self) -> Path:
        """Where every process writes its log."""
        return self.data_dir / "logs"

    @property
    def lake(self) -> Path:
        """The root of the lake."""
        return self.data_dir / "lake"

    @property
    def state_url(self) -> str:
        """The state tables, also before anything is started."""
        return f"sqlite:///{self.data_dir / 'state.db'}"

    def settings(self) -> CommonSettings:
        """The stack's own settings, for this command to publish and read with. Complete once it is started."""
        names = {name.upper() for name in CommonSettings.model_fields}
        values = {name.lower(): value for name, value in self.environment.items() if name in names}
        values.setdefault("state_url", self.state_url)
        return load_settings(CommonSettings, _env_file=None, **values)

    def claim(self) -> None:
        """Take the data folder for this process until `stop`. Raises FolderUnusableError, FolderInUseError."""
        self._folder_lock = lock_folder(self.data_dir)

    async def start(self) -> None:
        """Emulators first, then the services; returns when all are ready. Raises ChildError."""
        for folder in (self.logs, self.lake):
            folder.mkdir(parents=True, exist_ok=True)
        bus = self._emulator("servicebus", "--data", str(self.data_dir / "bus"))
        emulators = [bus]
        salesforce = self._emulator("salesforce", "--data", str(self.data_dir / "salesforce"))
        api = self._events_emulator()
        emulators += [salesforce] if self._own_salesforce else []
        emulators += [api] if api else []
        await self._children.start(*emulators)
        self.environment |= {
            "SERVICEBUS_CONNECTION_STRING": bus.ready["connection_string"],
            "STATE_URL": self.state_url,
            "LAKE_URL": self.lake.as_uri(),
            "RETRY_DELAYS_SEC": self.environment.get("RETRY_DELAYS_SEC", LOCAL_RETRY_DELAYS),
        }
        if self._own_salesforce:
            self.environment |= {
                "SF_LOGIN_URL": salesforce.ready["login_url"],
                "SF_CLIENT_ID": SF_CLIENT_ID,
                "SF_CLIENT_SECRET": SF_CLIENT_SECRET,
            }
        if api:
            self.environment |= {"API_BASE_URL": api.ready["base_url"], "API_KEY": DEMO_API_KEY}
        await self._children.start(*(self._service(name) for name in SERVICES))

    async def watch(self) -> None:
        """Keep everything running; raises when something dies too often."""
        await self._children.watch()

    async def stop(self) -> None:
        """Stop the services, then the emulators."""
        await self._children.stop()
        if self._folder_lock is not None:
            self._folder_lock.close()

    def _emulator(self, name: str, *arguments: str) -> Child:
        # A port of our choosing rather than the emulator's, so that one that is started again is where it was.
        return Child(
            name=name,
            module=f"libs.emulators.{name}",
            arguments=["--port", str(free_port()), *arguments],
            log_path=self.logs / f"{name}.log",
            env=_bare_environment(),
            announces=True,
        )

    def _events_emulator(self) -> Child | None:
        if self._events is None:
            return None
        events, bad_pct, seed = str(self._events.events), str(self._events.bad_pct), str(self._events.seed)
        return self._emulator(
            "events_api", "--events", events, "--bad-pct", bad_pct, "--seed", seed, "--api-key", DEMO_API_KEY
        )

    def _service(self, name: str) -> Child:
        port = free_port()
        own = {
            "HEALTH_HOST": "127.0.0.1",
            "HEALTH_PORT": str(port),
            "SCRATCH_DIR": str(self.data_dir / "scratch" / name),
        }
        return Child(
            name=name,
            module=f"services.{name}",
            arguments=[],
            log_path=self.logs / f"{name}.log",
            env=self.environment | own,
            health_port=port,
        )


def _bare_environment() -> dict[str, str]:
    """What a Python process needs to start, without any secret of the user's."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


def user_environment() -> dict[str, str]:
    """The environment with `.env` of the working directory under it, as the settings of a service would see it."""
    from_file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return {**from_file, **os.environ}

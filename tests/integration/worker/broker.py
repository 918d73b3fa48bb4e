"""The local broker as a process, on a topology made for these tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from libs.common.settings import CommonSettings, load_settings

DEPLOYED = Path(__file__).parents[3] / "deploy" / "servicebus" / "topology.json"
TOPICS = ("week.requested", "events.extracted", "events.validated")
SUBSCRIPTIONS = 40
LOCK = "PT5S"  # the shortest that Service Bus allows
LOCK_SEC = 5.0


def deployed() -> dict[str, Any]:
    """The topology of the deployment, with locks short enough to see them run out."""
    entities: dict[str, Any] = json.loads(DEPLOYED.read_bytes())
    for topic in entities["UserConfig"]["Namespaces"][0]["Topics"]:
        for subscription in topic["Subscriptions"]:
            subscription["Properties"]["LockDuration"] = LOCK
    return entities


def many_subscriptions() -> dict[str, Any]:
    """Each topic with many subscriptions `s0`, `s1`, …, so that every test has one of its own."""
    return {
        "UserConfig": {
            "Namespaces": [
                {"Name": "sbemulatorns", "Queues": [], "Topics": [_topic(name) for name in TOPICS]},
            ],
            "Logging": {"Type": "File"},
        }
    }


class Broker:
    """A running broker. With `data` its messages survive `kill` and `start`."""

    def __init__(self, folder: Path, *, keep: bool = False, entities: dict[str, Any] | None = None) -> None:
        self._arguments = ["--topology", str(folder / "topology.json")]
        if keep:
            self._arguments += ["--data", str(folder / "data")]
        (folder / "topology.json").write_text(json.dumps(entities or many_subscriptions()))
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self.connection_string = ""

    def start(self) -> None:
        """Run it, on the same port as before; returns when it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "libs.emulators.servicebus", "--port", str(self._port), *self._arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self._port = ready["port"]
        self.connection_string = ready["connection_string"]

    def stop(self, *, kill: bool = False) -> None:
        """End it, gently or not; nothing where it does not run."""
        if self._process is None:
            return
        assert self._process.stdout is not None
        (self._process.kill if kill else self._process.terminate)()
        self._process.wait(10)
        self._process.stdout.close()
        self._process = None

    def settings(self) -> CommonSettings:
        """What a client needs."""
        return load_settings(CommonSettings, servicebus_connection_string=SecretStr(self.connection_string))


def _topic(name: str) -> dict[str, Any]:
    return {
        "Name": name,
        "Properties": {
            "DefaultMessageTimeToLive": "PT1H",
            "DuplicateDetectionHistoryTimeWindow": "PT10M",
            "RequiresDuplicateDetection": True,
        },
        "Subscriptions": [_subscription(f"s{number}") for number in range(SUBSCRIPTIONS)],
    }


def _subscription(name: str) -> dict[str, Any]:
    return {
        "Name": name,
        "Properties": {
            "DeadLetteringOnMessageExpiration": True,
            "DefaultMessageTimeToLive": "PT1H",
            "LockDuration": LOCK,
            "MaxDeliveryCount": 10,
            "ForwardDeadLetteredMessagesTo": "",
            "ForwardTo": "",
            "RequiresSession": False,
        },
        "Rules": [
            {
                "Name": "for-me",
                "Properties": {"FilterType": "Sql", "SqlFilter": {"SqlExpression": f"target = '{name}'"}},
            }
        ],
    }

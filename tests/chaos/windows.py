"""Ways to look into a plant from outside: its files, tables, broker, org and logs."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from libs.cli.processes import Child


@dataclass(slots=True)
class Windows:
    """What a plant shows. All of it blocks, for milliseconds."""

    folder: Path
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def database(self) -> Path:
        return self.folder / "state.db"

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, parameters)]

    def left_on_the_bus(self) -> dict[str, int]:
        """Messages that are neither settled nor dead letters, by subscription; scheduled ones by topic."""
        counts = self.broker("counts")
        left = {name: count["active"] + count["scheduled"] for name, count in counts["entities"].items()}
        left |= {name: count["scheduled"] for name, count in counts["topics"].items()}
        return {name: number for name, number in left.items() if number}

    def dead_letters(self) -> int:
        return sum(int(count["dead_letter"]) for count in self.broker("counts")["entities"].values())

    def broker(self, path: str) -> Any:
        """What the broker's HTTP side answers; a fault is a POST."""
        port = self.children["servicebus"].ready["admin_port"]
        method = "POST" if path.startswith("faults/") else "GET"
        return json.loads(_http(f"http://127.0.0.1:{port}/{path}", method))

    def records(self) -> list[dict[str, Any]]:
        """What Salesforce holds."""
        base = self.children["salesforce"].ready["login_url"]
        lines = _http(f"{base}/_emulator/records/Customer_Weekly_Metric__c", "GET").splitlines()
        return [json.loads(line) for line in lines]

    def log_lines(self, service: str, event: str) -> list[dict[str, Any]]:
        """Of all replicas and restarts of a service; each knows its `replica`."""
        return [
            line | {"replica": path.stem}
            for path in (self.folder / "logs").glob(f"{service}*.log")
            for text in path.read_text().splitlines()
            if text.startswith("{") and (line := json.loads(text))["event"] == event
        ]

    def messages(self, service: str, case: str) -> list[dict[str, Any]]:
        """The canonical lines of the case's messages in a service."""
        return [line for line in self.log_lines(service, "message") if line["correlation_id"] == case]

    def actions(self, service: str, case: str) -> set[str]:
        """What became of the case's messages in a service."""
        return {line["action"] for line in self.messages(service, case)}


def _http(url: str, method: str) -> str:
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(response.read().decode())

"""What the services of a plant are told: settings, topology, environment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from libs.cli.stack import DEMO_API_KEY, SF_CLIENT_ID, SF_CLIENT_SECRET

DEPLOYED = Path(__file__).parents[2] / "deploy" / "servicebus" / "topology.json"
RUN_ID = "20260105-chaos"
PIPELINE = "chaos"
LOCK_SEC = 5.0
"""The shortest that Service Bus allows."""
BUSY_TIMEOUT_SEC = 0.2
"""How long a service's statement waits for the database's lock, before its call is tried again."""
EVENTS = 2_400
"""Three parts, whose end comes on a part's edge; two files; two Bulk jobs."""
SETTINGS = {
    "PIPELINE_NAME": PIPELINE,
    "API_KEY": DEMO_API_KEY,
    "API_PAGE_SIZE": "400",
    "PART_MAX_EVENTS": "800",
    "LOAD_GROUP_EVENTS": "1700",
    "RETRY_DELAYS_SEC": ",".join(["0.2"] * 8),
    "STOP_GRACE_SEC": "1",
    "VALIDATE_WORKERS": "2",
    "SF_CLIENT_ID": SF_CLIENT_ID,
    "SF_CLIENT_SECRET": SF_CLIENT_SECRET,
    "SF_COLLECTIONS_BELOW": "0",
    "SF_JOB_MAX_ROWS": "100",
    "SF_CONCURRENT_JOBS": "1",
    "SF_POLL_FIRST_SEC": "0.1",
    "HEALTH_HOST": "127.0.0.1",
}


def topology() -> dict[str, Any]:
    """As deployed, but for locks short enough to run out and for duplicates, which the services must stand."""
    entities: dict[str, Any] = json.loads(DEPLOYED.read_bytes())
    for topic in entities["UserConfig"]["Namespaces"][0]["Topics"]:
        topic["Properties"]["RequiresDuplicateDetection"] = False
        for subscription in topic["Subscriptions"]:
            subscription["Properties"]["LockDuration"] = f"PT{LOCK_SEC:g}S"
    return entities


def bare_environment() -> dict[str, str]:
    """What a Python process needs to start, and nothing of the user's."""
    kept = ("PATH", "HOME", "LANG", "PYTHONPATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"}

"""Asking for a week."""

from __future__ import annotations

import getpass
import uuid
from datetime import datetime

from libs.cli.bus import open_bus
from libs.common.bus.envelope import Outgoing
from libs.common.messages import RunOptions, WeekRequested
from libs.common.settings import CommonSettings
from libs.common.week import Week


def week_request(pipeline_name: str, week: Week, options: RunOptions, now: datetime) -> WeekRequested:
    """A request with a run id of its own, readable and unique."""
    run_id = f"{week.start:%Y%m%d}-{uuid.uuid4().hex[:12]}"
    return WeekRequested(
        run_id=run_id,
        pipeline_name=pipeline_name,
        week_start=week.start,
        week_end=week.end,
        correlation_id=run_id,
        requested_by=_user(),
        requested_at=now,
        options=options,
    )


async def publish(settings: CommonSettings, *requests: WeekRequested) -> None:
    """Hand the requests to the configured bus. Raises BusError, and BusSettingsError where none is configured."""
    async with open_bus(settings) as bus:
        await bus.publisher.publish(*(Outgoing.of(request) for request in requests))


def _user() -> str:
    try:
        return f"retl:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "retl"

"""`retl check-api`: one request, and what it proves."""

from __future__ import annotations

import sys
from datetime import date, timedelta

from libs.common.clock import Clock
from libs.common.errors import RetlError, describe, error_code
from libs.common.week import Week
from services.extractor.client import ApiClient
from services.extractor.settings import ExtractorSettings


async def check_api(settings: ExtractorSettings, clock: Clock, today: date) -> int:
    """Ask for the first page of last week and say what came; 0 where it is a page of events, 1 otherwise."""
    monday = today - timedelta(days=today.weekday() + 7)
    try:
        async with ApiClient(settings, clock) as client:
            if settings.api_pagination == "page":
                page = await client.numbered_page(Week.of(monday), 1)
            else:
                page = await client.named_page(Week.of(monday), 1, None)
    except RetlError as error:
        sys.stderr.write(f"{error_code(error)}: {describe(error)}\n{error.next_step}\n")
        return 1
    total = "not reported" if page.total is None else f"{page.total:,}"
    sys.stdout.write(
        f"{settings.api_base_url}{settings.api_events_path} is reachable, accepts the key and serves events: "
        f"{page.records:,} on the first page of the week of {monday}, total {total}.\n"
    )
    return 0

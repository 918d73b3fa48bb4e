"""`python -m services.extractor`: settings → client → worker. With `check-api` it sends one request instead."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from libs.common.clock import SystemClock
from libs.common.messages import EventsExtracted, WeekRequested
from libs.common.service import Handler, Kit, Service, load_or_exit, main
from libs.common.state import Stage
from services.extractor.check_api import check_api
from services.extractor.client import ApiClient
from services.extractor.handlers import Deps, handle
from services.extractor.settings import ExtractorSettings


@asynccontextmanager
async def build(settings: ExtractorSettings, kit: Kit) -> AsyncIterator[Handler[WeekRequested]]:
    """The handler, and the client's connections for as long as it is in use."""
    async with ApiClient(settings, kit.clock) as source:
        yield partial(handle, deps=Deps(kit=kit, settings=settings, source=source))


SERVICE = Service(
    name="extractor",
    about="Fetches a week of events from the REST API and lays them in the lake as served, part by part.",
    consumes=WeekRequested,
    publishes=(EventsExtracted,),
    stage=Stage.EXTRACT,
    settings=ExtractorSettings,
    build=build,
    budget_sec=lambda settings: settings.extract_budget_sec,
    admits=None,  # it opens the run
)

if __name__ == "__main__":
    if sys.argv[1:] == ["check-api"]:
        clock = SystemClock()
        sys.exit(asyncio.run(check_api(load_or_exit(ExtractorSettings), clock, clock.now().date())))
    sys.exit(main(SERVICE))

"""`python -m services.loader`: settings → worker process → handler → worker."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from libs.common.messages import DataLoaded, EventsValidated
from libs.common.processes import Processes
from libs.common.service import Handler, Kit, Service, main
from libs.common.state import Stage
from services.loader.adapters import Merger, prepare
from services.loader.handlers import Deps, handle
from services.loader.settings import LoaderSettings

PARTS_IN_HAND = 4
"""Most parts are only noted; while one that completes a group is merged, the others need not wait for it."""


@asynccontextmanager
async def build(settings: LoaderSettings, kit: Kit) -> AsyncIterator[Handler[EventsValidated]]:
    """Own the process that merges for as long as messages are worked on."""
    async with Processes(1, prepare) as processes:
        deps = Deps(kit=kit, merger=Merger(processes), most_records=settings.load_group_events)
        yield partial(handle, deps=deps)


SERVICE = Service(
    name="loader",
    about="Merges validated parts into the files of the future curated data set, sorted and of a sensible size, in the "
    "run's staging folder; when all parts are in, writes the load manifest and announces it, once per run.",
    consumes=EventsValidated,
    publishes=(DataLoaded,),
    stage=Stage.LOAD,
    settings=LoaderSettings,
    build=build,
    budget_sec=lambda settings: settings.load_budget_sec,
    concurrency=PARTS_IN_HAND,
)

if __name__ == "__main__":
    sys.exit(main(SERVICE))

"""`python -m services.loader`: settings → worker."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from libs.common.messages import DataLoaded, EventsValidated
from libs.common.service import Handler, Kit, Service, main
from libs.common.state import Stage
from services.loader.handlers import Deps, handle
from services.loader.settings import LoaderSettings


@asynccontextmanager
async def build(settings: LoaderSettings, kit: Kit) -> AsyncIterator[Handler[EventsValidated]]:
    """The handler; it needs nothing but the kit."""
    yield partial(handle, deps=Deps(kit=kit, settings=settings))


SERVICE = Service(
    name="loader",
    about="Lays the valid parts of a week out as the curated data set, in the run's staging folder.",
    consumes=EventsValidated,
    publishes=(DataLoaded,),
    stage=Stage.LOAD,
    settings=LoaderSettings,
    build=build,
    budget_sec=lambda settings: settings.load_budget_sec,
)

if __name__ == "__main__":
    sys.exit(main(SERVICE))

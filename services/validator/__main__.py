"""`python -m services.validator`: settings → worker processes → handler → worker."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from libs.common.messages import EventsExtracted, EventsValidated
from libs.common.processes import Processes
from libs.common.service import Handler, Kit, Service, main
from libs.common.state import Stage
from services.validator.adapters import PartValidator, prepare
from services.validator.handlers import Deps, handle
from services.validator.settings import ValidatorSettings


@asynccontextmanager
async def build(settings: ValidatorSettings, kit: Kit) -> AsyncIterator[Handler[EventsExtracted]]:
    """Own the worker processes for as long as messages are worked on."""
    async with Processes(settings.workers, prepare) as processes:
        yield partial(handle, deps=Deps(kit=kit, validate=PartValidator(processes)))


SERVICE = Service(
    name="validator",
    about="Validates and normalises the raw records of a part. A record that breaks the contract becomes a reject, "
    "with its reason; it never fails the part.",
    consumes=EventsExtracted,
    publishes=(EventsValidated,),
    stage=Stage.VALIDATE,
    settings=ValidatorSettings,
    build=build,
    budget_sec=lambda settings: settings.validate_budget_sec,
    concurrency=lambda settings: settings.workers,
)

if __name__ == "__main__":
    sys.exit(main(SERVICE))

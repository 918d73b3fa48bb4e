"""`python -m services.gate`: settings → rules → worker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from libs.common.messages import DataLoaded, GatePassed
from libs.common.service import Handler, Kit, Service, main
from libs.common.state import RunStatus, Stage
from services.gate.adapters import try_rules
from services.gate.handlers import Deps, handle
from services.gate.rules import load_rules
from services.gate.settings import GateSettings


@asynccontextmanager
async def build(settings: GateSettings, kit: Kit) -> AsyncIterator[Handler[DataLoaded]]:
    """The handler, its rules read and tried before the first message."""
    rules = load_rules(settings.gate_rules_file, settings)
    await asyncio.to_thread(try_rules, rules, settings, kit.scratch)
    deps = Deps(kit=kit, settings=settings, rules=rules)
    yield partial(handle, deps=deps)


SERVICE = Service(
    name="gate",
    about="Audits a staged week against the rules, aggregates it per customer and publishes it: all of it or nothing.",
    consumes=DataLoaded,
    publishes=(GatePassed,),
    stage=Stage.QUALITY_GATE,
    settings=GateSettings,
    build=build,
    budget_sec=lambda settings: settings.gate_budget_sec,
    # Its own commit ends the run, and a redelivery after that must still announce it.
    admits=frozenset({RunStatus.STARTED, RunStatus.SUCCESS, RunStatus.SUCCESS_WITH_REJECTS}),
)

if __name__ == "__main__":
    sys.exit(main(SERVICE))

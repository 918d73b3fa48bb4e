"""A service of the usual shape, for the tests beside it: one part in, one row and one message out.

python -m tests.integration.worker.parts_service
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from libs.common.bus.envelope import Outgoing
from libs.common.failpoints import failpoint
from libs.common.messages import EventsExtracted, EventsValidated
from libs.common.outcome import Done, Outcome
from libs.common.processes import Processes
from libs.common.service import Handler, Kit, Service, main
from libs.common.settings import ServiceSettings
from libs.common.state import Stage


class PartsSettings(ServiceSettings):
    """How the work is to be feigned."""

    burn_sec: float = Field(0.0, ge=0, description="Seconds of CPU that a part costs, in another process.")
    wait_sec: float = Field(0.0, ge=0, description="Seconds that a part waits for something.")


def burn(seconds: float) -> None:
    """Keep a CPU busy, as far as nobody else needs it."""
    os.nice(19)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@asynccontextmanager
async def build(settings: PartsSettings, kit: Kit) -> AsyncIterator[Handler[EventsExtracted]]:
    """The handler, and the process that it computes in."""
    async with Processes(1) as processes:

        async def handle(message: EventsExtracted) -> Outcome:
            part = await kit.state.get_part(message.run_id, Stage.VALIDATE, message.part)
            if part is None:
                kit.log.info("working", part=message.part)
                if settings.burn_sec:
                    await processes.run(burn, settings.burn_sec)
                await asyncio.sleep(settings.wait_sec)
                await failpoint("after_work", part=message.part)
                part = await kit.state.record_part(
                    message.run_id,
                    Stage.VALIDATE,
                    message.part,
                    kit.clock.now(),
                    row_count=1,
                    outgoing=Outgoing.of(_validated(message)).to_json(),
                )
            await kit.outbox.release_part(part)
            return Done()

        yield handle


def _validated(message: EventsExtracted) -> EventsValidated:
    return EventsValidated(
        run_id=message.run_id,
        pipeline_name=message.pipeline_name,
        week_start=message.week_start,
        week_end=message.week_end,
        correlation_id=message.correlation_id,
        part=message.part,
        valid=message.raw,
        rejects=message.raw,
        reject_counts={},
    )


SERVICE = Service(
    name="validator",
    about="Records each part once. For tests.",
    consumes=EventsExtracted,
    publishes=(EventsValidated,),
    stage=Stage.VALIDATE,
    settings=PartsSettings,
    build=build,
    budget_sec=60,
    concurrency=2,
)

if __name__ == "__main__":
    sys.exit(main(SERVICE))

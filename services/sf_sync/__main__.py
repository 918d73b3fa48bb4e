"""`python -m services.sf_sync`: settings → mapping, session → worker."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from libs.common.messages import GatePassed
from libs.common.service import Handler, Kit, Service, main
from libs.common.state import RunStatus, Stage
from services.sf_sync.handlers import Deps, handle
from services.sf_sync.login import grant_of
from services.sf_sync.mapping import load_mapping
from services.sf_sync.session import SalesforceSession
from services.sf_sync.settings import SfSyncSettings


@asynccontextmanager
async def build(settings: SfSyncSettings, kit: Kit) -> AsyncIterator[Handler[GatePassed]]:
    """The handler; the mapping is read now, the org is asked at the first message."""
    session = SalesforceSession(
        grant_of(settings),
        login_url=settings.login_url,
        api_version=settings.sf_api_version,
        timeout_sec=settings.sf_timeout_sec,
        http_retries=settings.sf_http_retries,
    )
    try:
        yield partial(
            handle,
            deps=Deps(kit=kit, settings=settings, session=session, mapping=load_mapping(settings.sf_mapping_file)),
        )
    finally:
        session.close()


SERVICE = Service(
    name="sf_sync",
    about="Upserts what changed in a week's customer signals into Salesforce and accounts for every row.",
    consumes=GatePassed,
    stage=Stage.SALESFORCE_SYNC,
    settings=SfSyncSettings,
    build=build,
    budget_sec=1800.0,
    # The gate has ended the run; a superseded one is dropped.
    admits=frozenset({RunStatus.SUCCESS, RunStatus.SUCCESS_WITH_REJECTS}),
)

if __name__ == "__main__":
    sys.exit(main(SERVICE))

"""Builds the service's collaborators from its settings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import structlog

from libs.common.messages import GatePassed
from libs.common.service import Handler, Kit
from services.sf_sync.handlers import handle
from services.sf_sync.login import grant_of
from services.sf_sync.mapping import load_mapping
from services.sf_sync.session import SalesforceSession
from services.sf_sync.settings import SfSyncSettings
from services.sf_sync.tools import Tools

_log: Final = structlog.get_logger(__name__)


@asynccontextmanager
async def build(settings: SfSyncSettings, kit: Kit) -> AsyncIterator[Handler[GatePassed]]:
    """The handler; the mapping file is read before the first message. Logs in only when needed."""
    session = open_session(settings)
    tools = Tools(
        settings=settings,
        state=kit.state,
        lake=kit.lake,
        clock=kit.clock,
        scratch=kit.scratch,
        session=session,
        mapping=load_mapping(settings.sf_mapping_file),
    )
    try:
        yield partial(handle, tools=tools)
    finally:
        await asyncio.to_thread(session.close)


def open_session(settings: SfSyncSettings) -> SalesforceSession:
    """A session that has not logged in yet."""
    if settings.login_unencrypted:
        _log.warning("salesforce_unencrypted", login_url=settings.login_url, because="SF_ALLOW_PLAIN_HTTP")
    return SalesforceSession(
        grant_of(settings),
        login_url=settings.login_url,
        api_version=settings.sf_api_version,
        timeout_sec=settings.sf_timeout_sec,
        http_retries=settings.sf_http_retries,
    )

"""A process that handles one request for the week, as `FAILPOINT` lets it: `… API_URL FOLDER`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from libs.common.failpoints import configure
from libs.common.messages import WeekRequested
from libs.common.settings import load_settings
from services.extractor.client import ApiClient
from services.extractor.handlers import Deps, handle
from services.extractor.settings import ExtractorSettings
from tests.integration.kits import IDS, REQUESTED_AT, RecordingPublisher, open_kit


async def deliver(url: str, folder: Path) -> None:
    async with open_kit(folder, RecordingPublisher()) as kit:
        settings = load_settings(
            ExtractorSettings,
            _env_file=None,
            state_url="sqlite://",
            lake_url="file:///lake",
            api_base_url=url,
            api_key="the-key",
            api_page_size=10,
            part_max_events=30,
        )
        async with ApiClient(settings, kit.clock) as source:
            request = WeekRequested(**IDS, requested_by="test", requested_at=REQUESTED_AT)
            await handle(request, Deps(kit=kit, settings=settings, source=source))


if __name__ == "__main__":
    configure(os.environ["FAILPOINT"])
    asyncio.run(deliver(sys.argv[1], Path(sys.argv[2])))

"""`python -m services.extractor`: settings → client → worker. `… check-api` sends one request instead."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from libs.common.clock import SystemClock
from libs.common.messages import EventsExtracted, WeekRequested
from libs.common.outcome import Outcome
from libs.common.service import Kit, Service, load_or_exit, main
from libs.common.state import Stage
from services.extractor.check_api import check_api
from services.extractor.client import ApiClient
from services.extractor.handlers import Deps, handle
from services.extractor.settings import ExtractorSettings

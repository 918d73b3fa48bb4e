"""The process is killed in the middle of a week, for good and without a word, and another one takes over."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from libs.common.events.pages import split_page
from libs.common.lake import paths
from tests.integration.extractor import one_delivery
from tests.integration.kits import RUN_ID

PAGES_A_PART = 3


@pytest.mark.parametrize("part", [0, 2, 3])
async def test_no_page_of_a_completed_part_is_fetched_twice(
    shop: Any, extractor: Any, tmp_path: Path, part: int
) -> None:
    api = await shop()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        one_delivery.__name__,
        api.url,
        str(tmp_path),
        env={**os.environ, "FAILPOINT": f"after_commit@part={part}:kill"},
    )
    assert await process.wait() == -signal.SIGKILL

    await extractor.run(api)
    completed = range(1, (part + 1) * PAGES_A_PART + 1)
    asked = await api.requests()
    assert [page for page in completed if asked.get(page, 1) != 1] == []
    raw = await extractor.kit.lake.list(paths.raw_dir(RUN_ID))
    bodies = [body for info in raw for body in pq.read_table(tmp_path / "lake" / info.path)["body"].to_pylist()]
    assert [text.decode() for body in bodies for text in split_page(body)] == api.records()
    assert (await extractor.stage()).row_count == 95

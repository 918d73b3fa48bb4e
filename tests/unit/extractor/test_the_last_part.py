"""Whoever finishes the last part of a week must learn that it was the last, whatever happened before."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from libs.common.blobs import open_blob
from libs.common.bus.envelope import Outgoing
from libs.common.messages import EventsExtracted, decode
from libs.common.service import Kit
from libs.common.settings import load_settings
from libs.common.state import PartRow, Stage, StageStatus
from libs.common.week import Week
from services.extractor.extraction import Extraction
from services.extractor.pages import Page, read_page
from services.extractor.settings import ExtractorSettings
from tests.integration.kits import RecordingPublisher, open_kit, open_run

SETTINGS = load_settings(
    ExtractorSettings,
    _env_file=None,
    state_url="sqlite://",
    lake_url="file:///lake",
    api_base_url="http://api",
    api_concurrency=1,
    part_max_events=4,
)
PER_PAGE = 2


class Shop:
    """An API of so many events, two a page, that tells no total; `dies_at` is a page that it cannot serve."""

    def __init__(self, events: int, dies_at: int = 0) -> None:
        self.events = events
        self.dies_at = dies_at

    async def numbered_page(self, _week: Week, number: int) -> Page:
        if number == self.dies_at:
            raise ConnectionError("gone")
        records = max(0, min(PER_PAGE, self.events - (number - 1) * PER_PAGE))
        return read_page(number, json.dumps([{"n": number}] * records).encode())

    async def named_page(self, week: Week, number: int, cursor: str | None) -> Page:
        raise AssertionError(f"no page is named {cursor}")


async def parts_and_total(folder: Path, *shops: Shop) -> tuple[list[int], list[int], int | None]:
    """Extract from each shop in turn, the next after the one before broke off: rows a part, parts announced, total."""
    publisher = RecordingPublisher()
    async with open_kit(folder, publisher) as kit:
        run = await open_run(kit)
        await kit.state.start_stage(run.run_id, Stage.EXTRACT, kit.clock.now())
        for shop in shops[:-1]:
            with pytest.raises(ConnectionError):
                await Extraction(run, kit, SETTINGS, shop).finish()
        await Extraction(run, kit, SETTINGS, shops[-1]).finish()
        stage = await kit.state.get_stage(run.run_id, Stage.EXTRACT)
        parts = await kit.state.parts(run.run_id, Stage.EXTRACT)
    announced = [json.loads(message.body)["part"] for message in publisher.sent]
    return [part.row_count for part in parts], announced, stage.parts_total if stage else None


@pytest.mark.parametrize(
    ("events", "parts"),
    [(0, [0]), (3, [3]), (4, [4]), (5, [4, 1]), (8, [4, 4]), (9, [4, 4, 1])],
    ids=lambda value: str(value),
)
async def test_a_week_is_cut_into_parts_and_each_is_announced_once(
    tmp_path: Path, events: int, parts: list[int]
) -> None:
    assert await parts_and_total(tmp_path, Shop(events)) == (parts, list(range(len(parts))), len(parts))


@pytest.mark.parametrize("dies_at", range(1, 6))
async def test_an_extraction_that_broke_off_ends_with_the_same_parts(tmp_path: Path, dies_at: int) -> None:
    assert await parts_and_total(tmp_path, Shop(9, dies_at), Shop(9)) == ([4, 4, 1], [0, 1, 2], 3)


async def test_when_events_vanish_after_the_last_part_was_announced_an_empty_part_is_the_last(tmp_path: Path) -> None:
    rows, announced, total = await parts_and_total(tmp_path, Shop(12, dies_at=4), Shop(4))
    assert (rows, announced, total) == ([4, 0], [0, 1], 2)


@pytest.mark.parametrize("events", [0, 3, 8, 9])
async def test_a_redelivery_of_a_finished_extraction_adds_no_part(tmp_path: Path, events: int) -> None:
    publisher = RecordingPublisher()
    async with open_kit(tmp_path, publisher) as kit:
        run = await open_run(kit)
        await kit.state.start_stage(run.run_id, Stage.EXTRACT, kit.clock.now())
        await Extraction(run, kit, SETTINGS, Shop(events)).finish()
        before = await kit.state.parts(run.run_id, Stage.EXTRACT)
        await Extraction(run, kit, SETTINGS, Shop(events)).finish()
        assert await kit.state.parts(run.run_id, Stage.EXTRACT) == before


async def test_when_the_last_part_is_announced_nothing_of_the_stage_is_left_to_do(tmp_path: Path) -> None:
    publisher = RecordingPublisher(failures=1)
    async with open_kit(tmp_path, publisher) as kit:
        run = await open_run(kit)
        await kit.state.start_stage(run.run_id, Stage.EXTRACT, kit.clock.now())
        with pytest.raises(ConnectionError):
            await Extraction(run, kit, SETTINGS, Shop(3)).finish()
        stage = await kit.state.get_stage(run.run_id, Stage.EXTRACT)
    assert stage is not None
    assert (stage.status, stage.row_count, stage.parts_total) == (StageStatus.SUCCESS, 3, 1)


async def announced_rows(kit: Kit, part: PartRow) -> int:
    """Records in the file that the part's message names, once its checksum is found right."""
    assert part.outgoing is not None
    message = decode(Outgoing.from_json(part.outgoing).body)
    assert isinstance(message, EventsExtracted)
    async with open_blob(kit.lake, message.raw, kit.scratch) as file:
        return sum(len(json.loads(body)) for body in pq.read_table(file).column("body").to_pylist())


class Rival(Shop):
    """An API that lets another delivery of the same request extract the whole week before it serves a page."""

    def __init__(self, events: int, at_page: int, extract: Callable[[], Awaitable[None]]) -> None:
        super().__init__(events)
        self._at_page = at_page
        self._extract = extract

    async def numbered_page(self, week: Week, number: int) -> Page:
        if number == self._at_page:
            self._at_page = 0
            await self._extract()
        return await super().numbered_page(week, number)


@pytest.mark.parametrize("events", [3, 8, 9])
@pytest.mark.parametrize("at_page", [1, 2, 3])
async def test_two_deliveries_at_work_at_once_record_and_announce_one_set_of_parts(
    tmp_path: Path, events: int, at_page: int
) -> None:
    publisher = RecordingPublisher()
    async with open_kit(tmp_path, publisher) as kit:
        run = await open_run(kit)
        for _ in range(2):
            await kit.state.start_stage(run.run_id, Stage.EXTRACT, kit.clock.now())
        second = Extraction(run, kit, SETTINGS, Shop(events), attempt=2)
        await Extraction(run, kit, SETTINGS, Rival(events, at_page, second.finish), attempt=1).finish()
        parts = await kit.state.parts(run.run_id, Stage.EXTRACT)
        stage = await kit.state.get_stage(run.run_id, Stage.EXTRACT)
        announced = {part.part: await announced_rows(kit, part) for part in parts}
    assert stage is not None
    assert stage.parts_total == len(parts)
    assert sum(announced.values()) == sum(part.row_count for part in parts) == events
    assert {message.to_json() for message in publisher.sent} == {part.outgoing for part in parts}

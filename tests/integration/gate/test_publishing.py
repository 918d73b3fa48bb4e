"""A reader never sees half a week: whatever the gate dies of, wherever, and however often the reader looks."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from libs.common.errors import is_transient
from libs.common.lake import Lake, LakeFileNotFoundError, paths
from libs.common.messages import DataLoaded
from libs.common.published import decode_published
from libs.common.state import RunStatus
from services.gate.publishing import WeekIncompleteError, staged_dir
from tests.integration.gate.conftest import WEEK, Gate, Staged, contents

LAKE_EFFECTS = {"put_file", "put_bytes", "rename_directory", "delete"}
STATE_EFFECTS = {"start_stage", "complete_gate", "mark_stage_published", "add_run_counts", "finish_stage", "end_run"}
MANIFEST = paths.curated_manifest(WEEK.start, WEEK.end)
KINDS = {
    "events": paths.curated_events_dir(WEEK.start, WEEK.end),
    "rejects": paths.curated_rejects_dir(WEEK.start, WEEK.end),
    "signals": paths.signals_dir(WEEK.start, WEEK.end),
}
GENEROUS = {"reject_threshold_pct": 50, "min_success_rate_pct": 50}


class Crash(BaseException):
    """The end of the process, as far as the code can tell."""


@dataclass
class Reader:
    """Looks at the week in the two ways that readers do, and remembers what it saw."""

    lake: Lake
    weeks: list[dict[str, str]] = field(default_factory=list)
    """What it may see of the week, by a glob over the events."""
    seen: list[str] = field(default_factory=list)

    async def look(self) -> None:
        listed = await contents(self.lake, KINDS["events"])
        files = {path: sha256 for path, sha256 in listed.items() if path.endswith(".parquet")}
        assert files in [{}, *self.weeks], "a glob over the events found half a week"
        manifest = MANIFEST in listed and decode_published(await self.lake.get_bytes(MANIFEST))
        if manifest:
            others = [await contents(self.lake, KINDS[kind]) for kind in ("rejects", "signals")]
            found = {path: sha256 for of_kind in (listed, *others) for path, sha256 in of_kind.items()}
            del found[MANIFEST]
            assert found == {file.path: file.sha256 for file in manifest.files}, "the manifest does not tell the truth"
        self.seen.append(manifest.run_id if manifest else "files" if files else "none")


class Watched:
    """Passes calls on; after each that has an effect the reader looks, and after so many the process dies."""

    def __init__(self, inner: Any, effects: set[str], after_effect: Callable[[], Any]) -> None:
        self._inner, self._effects, self._after_effect = inner, effects, after_effect

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in self._effects or not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs)
            await self._after_effect()
            return result

        return call


@dataclass
class Fuse:
    """Burns down with every effect. The reader looks after each, or where asked so only after the last."""

    reader: Reader
    left: int
    only_last: bool = False

    async def burn(self) -> None:
        self.left -= 1
        if self.left < 0 or not self.only_last:
            await self.reader.look()
        if self.left < 0:
            raise Crash


def watched(gate: Gate, fuse: Fuse) -> Gate:
    lake: Any = Watched(gate.kit.lake, LAKE_EFFECTS, fuse.burn)
    state: Any = Watched(gate.kit.state, STATE_EFFECTS, fuse.burn)
    outbox = type(gate.kit.outbox)(gate.publisher, state)
    return replace(gate, kit=replace(gate.kit, lake=lake, state=state, outbox=outbox))


async def dies(gate: Gate, message: DataLoaded, fuse: Fuse, **settings: Any) -> bool:
    """Handle the message with a gate that dies when the fuse has burnt down; whether it did."""
    try:
        await watched(gate, fuse).handle(message, **(GENEROUS | settings))
    except Crash:
        return True
    return False


def as_it_will_be(staged: dict[str, str]) -> dict[str, str]:
    return {f"{KINDS['events']}/{path.rsplit('/', 1)[-1]}": sha256 for path, sha256 in staged.items()}


async def die_everywhere(gate: Gate) -> list[str]:
    """One run of the week for every effect that a gate has, each dying there and finished by the redelivery.

    Returns what readers saw on the way.
    """
    reader, effects, deaths = Reader(gate.kit.lake), 0, True
    while deaths:
        run_id = f"r{effects:02}"
        events = gate.whole_week(user_session=run_id)
        message = await gate.staged(run_id, Staged(events=events, rejects=2, files=3), force=True)
        reader.weeks = [*reader.weeks[-1:], as_it_will_be(await gate.files(staged_dir(run_id, "events")))]
        # What the effects before the last look like, the runs before have shown.
        deaths = await dies(gate, message, Fuse(reader, effects, only_last=True))
        await gate.handle(message, **GENEROUS)
        await reader.look()

        assert reader.seen[-1] == run_id
        assert (await gate.run(run_id)).status is RunStatus.SUCCESS_WITH_REJECTS
        assert [sent.run_id for sent in gate.announced()][-1] == run_id
        assert len({sent.message_id for sent in gate.publisher.sent}) == effects + 1
        assert [file.path for file in await gate.kit.lake.list(f"runs/{run_id}")] == [
            f"runs/{run_id}/checks/verdict.json"
        ]
        effects += 1
        assert effects < 60, "publishing has no end"
    return reader.seen


async def test_a_forced_run_that_dies_after_any_effect_is_finished_and_nobody_sees_half_a_week(
    gate_on_each: Gate,
) -> None:
    seen = await die_everywhere(gate_on_each)
    assert len([run for run in set(seen) if run.startswith("r")]) > 15
    assert {"none", "files"} <= set(seen)


@pytest.mark.parametrize("effects", range(14))
async def test_a_first_run_that_dies_after_any_effect_is_finished_with_the_files_of_one_that_lives(
    gate: Gate, effects: int
) -> None:
    message = await gate.staged("r1", Staged(events=gate.whole_week(), rejects=2, files=3))
    staged = await gate.files("runs/r1/staging")
    reader = Reader(gate.kit.lake, [as_it_will_be(await gate.files(staged_dir("r1", "events")))])
    assert await dies(gate, message, Fuse(reader, effects))
    await gate.handle(message, **GENEROUS)
    await reader.look()
    assert reader.seen[-1] == "r1"
    found = {path.rsplit("/", 1)[-1]: sha256 for path, sha256 in (await gate.files("curated")).items()}
    kept = {path.rsplit("/", 1)[-1]: sha256 for path, sha256 in staged.items() if path.endswith(".parquet")}
    assert kept.items() <= found.items()


@pytest.mark.parametrize("effects", range(5))
async def test_a_week_that_fails_its_rules_fails_also_when_the_gate_dies_on_the_way(gate: Gate, effects: int) -> None:
    message = await gate.staged("r1", Staged(events=gate.whole_week(), rejects=1))
    staged = await gate.files("runs/r1/staging")
    assert await dies(gate, message, Fuse(Reader(gate.kit.lake), effects), min_records=8)
    await gate.handle(message, **GENEROUS, min_records=8)
    run = await gate.run("r1")
    assert (run.status, run.error and run.error.code) == (RunStatus.FAILED, "quality_gate_failed")
    assert (await gate.published(), gate.announced()) == ({}, [])
    assert await gate.files("runs/r1/staging") == staged


async def test_a_gate_that_dies_again_and_again_gets_on(gate: Gate) -> None:
    await gate.gated("old", Staged(events=gate.whole_week(), rejects=1, files=2), settings=GENEROUS)
    reader = Reader(gate.kit.lake, [await events_of(gate)])
    message = await gate.staged("new", Staged(events=gate.whole_week(brand="b"), rejects=1, files=2), force=True)
    reader.weeks.append(as_it_will_be(await gate.files(staged_dir("new", "events"))))
    lives = 0
    while await dies(gate, message, Fuse(reader, 8)):
        lives += 1
        assert lives < 30
    await reader.look()
    assert (reader.seen[-1], lives > 1) == ("new", True)


async def events_of(gate: Gate) -> dict[str, str]:
    found = await gate.files(KINDS["events"])
    return {path: sha256 for path, sha256 in found.items() if path.endswith(".parquet")}


async def test_two_gates_with_one_message_publish_the_week_once(gate_on_each: Gate) -> None:
    gate = gate_on_each
    await gate.gated("old", Staged(events=gate.whole_week(), rejects=1), settings=GENEROUS)
    message = await gate.staged("new", Staged(events=gate.whole_week(brand="b"), rejects=1, files=2), force=True)
    ends = await asyncio.gather(*(gate.handle(message, **GENEROUS) for _ in range(2)), return_exceptions=True)
    assert [end for end in ends if isinstance(end, BaseException) and not is_transient(end)] == []
    await gate.handle(message, **GENEROUS)
    reader = Reader(gate.kit.lake, [await events_of(gate)])
    await reader.look()
    assert reader.seen == ["new"]
    assert len({sent.message_id for sent in gate.publisher.sent}) == 2


@dataclass
class Bystander:
    """Reads all the while, at its own pace; `seen` counts the whole weeks that it read, by run."""

    lake: Lake
    weeks: dict[str, dict[str, str]] = field(default_factory=dict)
    """Run → what its events are."""
    by_glob: Counter[str] = field(default_factory=Counter)
    by_manifest: Counter[str] = field(default_factory=Counter)
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        while True:
            await self.read_by_glob()
            await self.read_by_manifest()
            self.looked.set()

    async def has_read(self, run_id: str) -> None:
        while not (self.by_glob[run_id] and self.by_manifest[run_id]):
            self.looked.clear()
            await self.looked.wait()

    async def read_by_glob(self) -> None:
        try:
            found = await contents(self.lake, KINDS["events"])
        except LakeFileNotFoundError:
            return  # listed, and gone before it was read: an error for a reader, never a mixture
        found.pop(MANIFEST, None)
        assert found in [{}, *self.weeks.values()], "a glob over the events found half a week"
        self.by_glob.update(run for run, files in self.weeks.items() if files == found)

    async def read_by_manifest(self) -> None:
        """As the README tells: the manifest, the files, the manifest again."""
        try:
            before = await self.lake.get_bytes(MANIFEST)
            manifest = decode_published(before)
            found = {
                file.path: hashlib.sha256(await self.lake.get_bytes(file.path)).hexdigest() for file in manifest.files
            }
            after = await self.lake.get_bytes(MANIFEST)
        except LakeFileNotFoundError:
            return
        unchanged = after == before
        assert not unchanged or found == {file.path: file.sha256 for file in manifest.files}
        self.by_manifest.update([manifest.run_id] * unchanged)


async def test_whoever_reads_all_the_while_reads_whole_weeks(gate_on_each: Gate) -> None:
    gate, bystander = gate_on_each, Bystander(gate_on_each.kit.lake)
    async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(bystander.read())
        for number in range(5):
            run_id = f"r{number}"
            events = gate.whole_week(user_session=run_id)
            message = await gate.staged(run_id, Staged(events=events, rejects=2, files=4), force=True)
            bystander.weeks[run_id] = as_it_will_be(await gate.files(staged_dir(run_id, "events")))
            await gate.handle(message, **GENEROUS)
            await bystander.has_read(run_id)
        reading.cancel()
    assert set(bystander.by_manifest) == set(bystander.weeks)


async def test_a_file_that_went_missing_while_publishing_is_noticed_before_the_manifest_is_written(gate: Gate) -> None:
    message = await gate.staged("r1", Staged(events=gate.whole_week(), files=2))
    deaths = [await dies(gate, message, Fuse(Reader(gate.kit.lake, [{}]), 2))]  # judged; nothing has moved
    await gate.kit.lake.delete(paths.staged_events_file("r1", 1))
    with pytest.raises(WeekIncompleteError, match="part-00001"):
        await gate.handle(message)
    assert deaths == [True]
    assert not await gate.kit.lake.exists(MANIFEST)
    assert (await gate.run("r1")).status is RunStatus.STARTED


async def test_a_replaced_week_waits_outside_of_what_readers_look_through_until_the_new_one_is_there(
    gate: Gate,
) -> None:
    await gate.gated("old", Staged(events=gate.whole_week(), rejects=1), settings=GENEROUS)
    old = await gate.published()
    message = await gate.staged("new", Staged(events=gate.whole_week(brand="b")), force=True)
    reader = Reader(gate.kit.lake, [await events_of(gate)])
    assert await dies(gate, message, Fuse(reader, 5))  # judged, and all three kinds withdrawn
    assert await gate.published() == {}
    assert sorted((await gate.files("runs/new/superseded")).values()) == sorted(old.values())

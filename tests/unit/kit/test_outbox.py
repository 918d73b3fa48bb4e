from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from libs.common import failpoints
from libs.common.bus.envelope import Outgoing
from libs.common.bus.errors import BusUnavailableError
from libs.common.failpoints import FailpointError
from libs.common.outbox import Outbox
from libs.common.state import Stage, StageStatus, State, migrate, open_state
from tests.unit.worker.harness import NOW, RecordingPublisher, events_extracted, week_requested

MESSAGE = Outgoing.of(events_extracted())


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    migrate(url)
    state = open_state(url, patience_sec=0.1)
    await state.open_run(week_requested(), NOW)
    yield state
    await state.aclose()


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.configure(None)


async def record(state: State, outgoing: str | None) -> None:
    await state.record_part("run-1", Stage.EXTRACT, 0, NOW, row_count=1, outgoing=outgoing)


async def release(state: State, publisher: RecordingPublisher) -> None:
    part = await state.get_part("run-1", Stage.EXTRACT, 0)
    assert part is not None
    await Outbox(publisher, state).release_part(part)


async def test_the_recorded_message_is_published_once_and_marked(state: State) -> None:
    publisher = RecordingPublisher()
    await record(state, MESSAGE.to_json())
    await release(state, publisher)
    await release(state, publisher)
    assert [message for message, _ in publisher.sent] == [MESSAGE]


async def test_a_part_without_a_message_publishes_nothing(state: State) -> None:
    publisher = RecordingPublisher()
    await record(state, None)
    await release(state, publisher)
    assert publisher.sent == []


async def test_what_could_not_be_published_is_published_by_the_redelivery(state: State) -> None:
    publisher = RecordingPublisher()
    await record(state, MESSAGE.to_json())
    publisher.error = BusUnavailableError("away")
    with pytest.raises(BusUnavailableError):
        await release(state, publisher)
    publisher.error = None
    await release(state, publisher)
    assert [message for message, _ in publisher.sent] == [MESSAGE]


async def test_a_crash_between_commit_and_publish_loses_nothing(state: State) -> None:
    publisher = RecordingPublisher()
    await record(state, MESSAGE.to_json())
    failpoints.configure("after_commit@part=0:raise")
    with pytest.raises(FailpointError):
        await release(state, publisher)
    await release(state, publisher)
    assert [message for message, _ in publisher.sent] == [MESSAGE]


async def test_a_crash_between_publish_and_mark_repeats_the_same_message_id(state: State) -> None:
    publisher = RecordingPublisher()
    await record(state, MESSAGE.to_json())
    failpoints.configure("after_publish:raise")
    with pytest.raises(FailpointError):
        await release(state, publisher)
    await release(state, publisher)
    assert [message.message_id for message, _ in publisher.sent] == [MESSAGE.message_id] * 2


async def test_a_stages_message_is_published_once_and_marked(state: State) -> None:
    publisher = RecordingPublisher()
    await state.start_stage("run-1", Stage.LOAD, NOW)
    await state.finish_stage("run-1", Stage.LOAD, StageStatus.SUCCESS, NOW, row_count=1, outgoing=MESSAGE.to_json())
    for _ in range(2):
        stage = await state.get_stage("run-1", Stage.LOAD)
        assert stage is not None
        await Outbox(publisher, state).release_stage(stage)
    assert [message for message, _ in publisher.sent] == [MESSAGE]

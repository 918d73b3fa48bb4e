from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.bus.envelope import Outgoing
from libs.common.state import Failure
from libs.common.worker.attempts import MAX_LAST_ERROR, Attempt
from tests.unit.worker.harness import NOW, FakeDelivery, ManualClock

FAILURE = Failure("code", "text", "next")


def copied(delivery: FakeDelivery, *, spend: bool, failure: Failure = FAILURE) -> Outgoing:
    attempt = Attempt.of(delivery, NOW)
    return attempt.copy(delivery, topic="t", subscription="s", failure=failure, spend=spend)


def redelivered(copy: Outgoing) -> FakeDelivery:
    return FakeDelivery(
        copy.body.encode(), clock=ManualClock(), message_id=copy.message_id, properties=dict(copy.properties)
    )


@given(st.lists(st.booleans(), max_size=12))
def test_no_two_copies_of_a_message_have_the_same_id_and_the_counts_add_up(spends: list[bool]) -> None:
    delivery = FakeDelivery(b"x", clock=ManualClock(), message_id="run/topic/00001")
    ids = [delivery.message_id]
    for spend in spends:
        delivery = redelivered(copied(delivery, spend=spend))
        ids.append(delivery.message_id)
    assert len(set(ids)) == len(ids)
    assert all(len(each) < len("run/topic/00001") + 8 for each in ids)
    last = Attempt.of(delivery, NOW)
    assert (last.spent, last.deferrals) == (sum(spends), len(spends) - sum(spends))


def test_a_repeat_after_a_crash_schedules_the_very_same_copy() -> None:
    delivery = FakeDelivery(b"x", clock=ManualClock(), message_id="m")
    assert copied(delivery, spend=True) == copied(delivery, spend=True)


def test_a_copy_of_a_replay_keeps_the_replays_id() -> None:
    delivery = FakeDelivery(b"x", clock=ManualClock(), message_id="m#replay-2")
    assert copied(delivery, spend=True).message_id == "m#replay-2#1"


def test_the_first_time_seen_travels_on() -> None:
    first = copied(FakeDelivery(b"x", clock=ManualClock()), spend=True)
    later = Attempt.of(redelivered(first), NOW + timedelta(hours=1))
    assert later.first_seen == NOW


def test_trace_context_and_ids_travel_on_and_the_last_error_is_bounded() -> None:
    delivery = FakeDelivery(b"x", clock=ManualClock(), properties={"traceparent": "00-1", "run_id": "r"})
    copy = copied(delivery, spend=True, failure=Failure("c", "x" * 5000, ""))
    assert copy.properties["traceparent"] == "00-1"
    assert len(copy.properties["last_error"]) == MAX_LAST_ERROR


@pytest.mark.parametrize("properties", [{"attempt": "-1"}, {"attempt": "many"}, {"first_seen": "yesterday"}])
def test_properties_that_make_no_sense_count_as_a_first_try(properties: dict[str, str]) -> None:
    attempt = Attempt.of(FakeDelivery(b"", clock=ManualClock(), properties=properties), NOW)
    assert attempt == Attempt(spent=0, deferrals=0, first_seen=NOW)

from __future__ import annotations

import pytest

from libs.common.worker.killswitch import KillSwitch, SwitchPolicy, SwitchState
from tests.unit.worker.harness import ManualClock

POLICY = SwitchPolicy(window=10, least=4, ratio=0.5, pause_sec=30, max_pause_sec=100)


def tripped(clock: ManualClock) -> KillSwitch:
    switch = KillSwitch(POLICY, clock)
    for _ in range(4):
        switch.record(failed=True)
    return switch


def test_a_few_failures_among_successes_do_not_stop_the_consumer() -> None:
    switch = KillSwitch(POLICY, ManualClock())
    assert not any(switch.record(failed=failed) for failed in [False, False, True, False] * 10)
    assert switch.slots(4) == 4


def test_too_many_failures_stop_it_once() -> None:
    switch = KillSwitch(POLICY, ManualClock())
    assert [switch.record(failed=True) for _ in range(6)] == [False, False, False, True, False, False]
    assert switch.pause_left_sec() == 30


async def test_after_the_pause_one_message_at_a_time_is_tried() -> None:
    clock = ManualClock()
    switch = tripped(clock)
    await clock.advance(30)
    assert switch.pause_left_sec() == 0
    assert switch.slots(4) == 1


async def test_a_trial_that_works_resumes_with_a_clean_record() -> None:
    clock = ManualClock()
    switch = tripped(clock)
    await clock.advance(30)
    switch.pause_left_sec()
    switch.record(failed=False)
    assert switch.state is SwitchState.CONSUMING
    assert not switch.record(failed=True)


@pytest.mark.parametrize(("trials", "pause"), [(1, 60), (2, 100), (5, 100)])
async def test_each_trial_that_fails_doubles_the_pause_up_to_a_limit(trials: int, pause: float) -> None:
    clock = ManualClock()
    switch = tripped(clock)
    for _ in range(trials):
        await clock.advance(switch.pause_left_sec())
        switch.pause_left_sec()
        assert switch.record(failed=True)
    assert switch.pause_left_sec() == pause

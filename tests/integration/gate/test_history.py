"""A week is compared with the weeks that passed before it, which the state tables remember."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from libs.common.state import RunStatus
from libs.common.week import Week
from tests.integration.gate.conftest import WEEK, Gate, Staged


def weeks_before(number: int) -> Week:
    back = timedelta(days=7 * number)
    return Week(WEEK.start - back, WEEK.end - back)


async def passed(gate: Gate, number: int, times: int, **changes: Any) -> None:
    """Publish the week so many weeks before with `times` times seven events."""
    week = weeks_before(number)
    await gate.gated(f"before-{number}", Staged(events=of_volume(gate, times, week, **changes)), week)


def of_volume(gate: Gate, times: int, week: Week = WEEK, **changes: Any) -> list[dict[str, Any]]:
    return [row for time in range(times) for row in gate.whole_week(week, user_session=f"s{time}", **changes)]


async def values(gate: Gate, run_id: str = "r1") -> dict[str, Any]:
    return {check["name"]: check["value"] for check in (await gate.stage(run_id)).details["checks"]}


async def test_the_first_week_is_compared_with_nothing(gate: Gate) -> None:
    run = await gate.gated("r1", Staged(events=gate.whole_week()))
    found = await values(gate)
    assert run.status is RunStatus.SUCCESS
    assert (found["volume_as_usual"], found["null_shares_as_usual"]) == (None, None)


async def test_volume_is_compared_with_the_median_of_the_last_passed_weeks(gate: Gate) -> None:
    for number, times in ((5, 50), (4, 1), (3, 2), (2, 2), (1, 3)):
        await passed(gate, number, times)
    await gate.gated("r1", Staged(events=of_volume(gate, 4)), settings={"gate_history_weeks": 4})
    assert (await values(gate))["volume_as_usual"] == 100  # 28 events; the median of 7, 14, 14 and 21 is 14
    assert set(await gate.failed_checks("r1")) == {"volume_as_usual"}


async def test_null_shares_are_compared_column_by_column_with_their_mean(gate: Gate) -> None:
    await passed(gate, 2, 1, brand=None)
    await passed(gate, 1, 1)
    await gate.gated("r1", Staged(events=gate.whole_week(brand=None)))
    assert (await values(gate))["null_shares_as_usual"] == 50  # brand: 100 % now, 100 % and 0 % before
    await gate.gated("r2", Staged(events=[*gate.whole_week()[:-1], gate.event(day=6, price=None)]), force=True)
    assert (await values(gate, "r2"))["null_shares_as_usual"] == 50  # brand again: price moved by 14 points only


@pytest.mark.parametrize("weeks", [1, 2])
async def test_weeks_that_failed_were_rehearsed_or_replaced_do_not_count(gate: Gate, weeks: int) -> None:
    await passed(gate, 3, 2)
    await gate.gated("replaced", Staged(events=of_volume(gate, 9, weeks_before(2))), weeks_before(2))
    await gate.gated("new", Staged(events=of_volume(gate, 2, weeks_before(2))), weeks_before(2), force=True)
    await gate.gated("failed", Staged(events=of_volume(gate, 9, weeks_before(1)), rejects=90), weeks_before(1))
    await gate.gated("dry", Staged(events=of_volume(gate, 9, weeks_before(1))), weeks_before(1), dry_run=True)
    await gate.gated("r1", Staged(events=of_volume(gate, 2)), settings={"gate_history_weeks": weeks})
    assert (await values(gate))["volume_as_usual"] == 0


async def test_a_back_fill_is_compared_with_the_weeks_before_it_not_with_the_newest(gate: Gate) -> None:
    for number, times in ((4, 1), (2, 9), (1, 9)):
        await passed(gate, number, times)
    await gate.gated("r1", Staged(events=of_volume(gate, 1, weeks_before(3))), weeks_before(3))
    assert (await values(gate))["volume_as_usual"] == 0


async def test_a_span_of_another_length_is_compared_with_spans_of_its_own(gate: Gate) -> None:
    await passed(gate, 1, 5)
    day = Week(WEEK.start, WEEK.start)
    await gate.gated("r1", Staged(events=gate.whole_week(day)[:1]), day)
    assert (await values(gate))["volume_as_usual"] is None


@pytest.mark.parametrize("weeks", [1, 3])
async def test_so_many_weeks_are_looked_at_as_the_setting_says(gate: Gate, weeks: int) -> None:
    for number, times in ((3, 4), (2, 4), (1, 2)):
        await passed(gate, number, times)
    await gate.gated("r1", Staged(events=of_volume(gate, 2)), settings={"gate_history_weeks": weeks})
    assert (await values(gate))["volume_as_usual"] == {1: 0, 3: 50}[weeks]

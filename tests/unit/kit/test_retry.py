from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.retry import MAX_DELAY_SEC, RetryPolicy

POLICY = RetryPolicy(delays_sec=(300, 600, 1200), draw=lambda: 0.0)


@pytest.mark.parametrize(("spent", "delay"), [(0, 300), (1, 600), (2, 1200), (3, None), (9, None)])
def test_there_are_as_many_retries_as_delays(spent: int, delay: float | None) -> None:
    assert POLICY.delay(spent) == delay


def test_a_delay_asked_for_replaces_the_policys_but_not_its_count() -> None:
    assert POLICY.delay(0, asked_sec=5) == 5
    assert POLICY.delay(3, asked_sec=5) is None


@pytest.mark.parametrize(("deferred", "delay"), [(0, 300), (2, 1200), (50, 1200)])
def test_a_message_can_be_put_off_without_end(deferred: int, delay: float) -> None:
    assert POLICY.deferral(deferred) == delay


def test_without_delays_nothing_is_retried_but_things_can_be_put_off() -> None:
    none = RetryPolicy(delays_sec=())
    assert none.delay(0) is None
    assert none.deferral(0) >= 60


@given(st.floats(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_only_lengthens_a_delay_by_a_tenth_at_most_and_never_beyond_the_limit(
    seconds: float, drawn: float
) -> None:
    delay = RetryPolicy(delays_sec=(seconds,), draw=lambda: drawn).delay(0)
    assert delay is not None
    assert min(seconds, MAX_DELAY_SEC) <= delay <= min(seconds * 1.1, MAX_DELAY_SEC)

from __future__ import annotations

import pytest

from libs.emulators.events_api.rate_limit import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_second_s_worth_of_requests_passes_at_once_and_no_more() -> None:
    bucket = TokenBucket(3, clock=Clock())
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]


def test_tokens_come_back_at_the_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(2, clock=clock)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    clock.now += 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]


def test_a_long_pause_saves_no_more_than_the_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(2, clock=clock)
    clock.now += 3_600
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_a_rate_below_one_a_second_still_lets_requests_through() -> None:
    clock = Clock()
    bucket = TokenBucket(0.5, clock=clock)
    assert [bucket.take(), bucket.take()] == [True, False]
    clock.now += 2
    assert bucket.take()


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        TokenBucket(0, clock=Clock())

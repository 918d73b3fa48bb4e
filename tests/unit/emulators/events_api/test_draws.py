from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.events_api import draws

shares = st.fractions(0, 100, max_denominator=1_000)
FAMILY = draws.key("test")


def test_a_draw_depends_on_its_family_and_number_only() -> None:
    assert draws.number(draws.key("a", 1), 7) == draws.number(draws.key("a", 1), 7)
    assert len({draws.number(draws.key(name, seed), 7) for name in "ab" for seed in range(50)}) == 100


def test_the_parts_of_a_key_do_not_run_together() -> None:
    assert draws.key("a", "bc") != draws.key("ab", "c")


def test_draws_below_a_limit_reach_every_number_evenly() -> None:
    counts = Counter(draws.below(FAMILY, index, 7) for index in range(7_000))
    assert sorted(counts) == list(range(7))
    assert min(counts.values()) > 850


@given(st.lists(st.integers(), unique=True))
def test_shuffling_keeps_every_item(items: list[int]) -> None:
    assert sorted(draws.shuffled(FAMILY, items)) == sorted(items)


@given(shares, st.integers(0, 3_000), st.integers(0, 3_000), st.integers(0, 3_000))
def test_what_is_picked_in_a_window_does_not_depend_on_the_window(share: Fraction, a: int, b: int, c: int) -> None:
    first, middle, stop = sorted((a, b, c))
    strata = draws.Strata(FAMILY, share)
    assert strata.within(first, middle) | strata.within(middle, stop) == strata.within(first, stop)


@given(shares, st.integers(0, 3_000))
def test_the_number_picked_is_the_share_but_for_one(share: Fraction, stop: int) -> None:
    assert abs(len(draws.Strata(FAMILY, share).within(0, stop)) - stop * share / 100) <= 1


@given(shares, st.integers(0, 3_000))
def test_picks_are_numbered_in_order_without_a_gap(share: Fraction, stop: int) -> None:
    picked = draws.Strata(FAMILY, share).within(0, stop)
    assert list(picked) == sorted(picked)
    assert list(picked.values()) == list(range(len(picked)))


def test_all_are_picked_at_a_hundred_percent_and_none_at_zero() -> None:
    assert list(draws.Strata(FAMILY, Fraction(100)).within(5, 9)) == [5, 6, 7, 8]
    assert draws.Strata(FAMILY, Fraction(0)).within(0, 1_000) == {}


@pytest.mark.parametrize("share", [Fraction(-1), Fraction(101)])
def test_a_share_outside_0_to_100_percent_is_refused(share: Fraction) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        draws.Strata(FAMILY, share)

"""Grouping parts: bounded, complete, and the same in whatever order the parts become known."""

from hypothesis import given
from hypothesis import strategies as st

from services.loader.plan import Group, plan_groups
from services.loader.settings import LoaderSettings

_sizes = st.lists(st.integers(0, 12), min_size=1, max_size=12)


def test_parts_fill_a_group_until_the_next_would_not_fit() -> None:
    parts = list(enumerate([3, 3, 5, 12, 1]))
    assert plan_groups(parts, 5, most_records=10) == [
        Group(0, 0, 1, closed_by=2),
        Group(1, 2, 2, closed_by=3),
        Group(2, 3, 3, closed_by=3),
        Group(3, 4, 4, closed_by=4),
    ]


def test_a_full_group_waits_for_no_further_part() -> None:
    assert plan_groups([(0, 5), (1, 5)], None, most_records=10) == [Group(0, 0, 1, closed_by=1)]
    assert plan_groups([(0, 5), (1, 5)], 2, most_records=10) == [Group(0, 0, 1, closed_by=1)]
    assert plan_groups([(0, 5), (1, 5), (2, 0)], 3, most_records=10)[1:] == [Group(1, 2, 2, closed_by=2)]


def test_the_last_group_stays_open_until_the_number_of_parts_is_known() -> None:
    assert plan_groups([(0, 1), (1, 1)], None, most_records=10) == []
    assert plan_groups([(0, 1), (1, 1)], 3, most_records=10) == []
    assert plan_groups([(0, 1), (1, 1)], 2, most_records=10) == [Group(0, 0, 1, closed_by=1)]


def test_nothing_is_known_beyond_a_part_that_is_missing() -> None:
    assert plan_groups([(1, 20), (2, 20)], 3, most_records=10) == []
    assert plan_groups([(0, 9), (2, 20)], 3, most_records=10) == []
    assert plan_groups([], None, most_records=10) == []


@given(_sizes)
def test_groups_cover_every_part_once_and_stay_within_the_bound(sizes: list[int]) -> None:
    groups = plan_groups(list(enumerate(sizes)), len(sizes), most_records=10)
    assert [part for group in groups for part in range(group.first, group.last + 1)] == list(range(len(sizes)))
    assert [group.index for group in groups] == list(range(len(groups)))
    assert all(group.first == group.last or sum(sizes[group.first : group.last + 1]) <= 10 for group in groups)


@given(_sizes, st.randoms())
def test_whoever_brings_the_last_part_a_group_needs_sees_the_group(sizes: list[int], random: object) -> None:
    order = list(range(len(sizes)))
    random.shuffle(order)  # type: ignore[attr-defined] # a random.Random
    final = plan_groups(list(enumerate(sizes)), len(sizes), most_records=10)
    seen: set[Group] = set()
    for count, part in enumerate(order, start=1):
        known = sorted((known, sizes[known]) for known in order[:count])
        groups = plan_groups(known, len(sizes), most_records=10)
        assert groups == final[: len(groups)]
        seen |= {group for group in groups if part <= group.closed_by}
    assert seen == set(final)


def test_ten_million_events_are_tens_of_files() -> None:
    most_records = LoaderSettings.model_fields["load_group_events"].default
    groups = plan_groups([(part, 100_000) for part in range(100)], 100, most_records=most_records)
    assert len(groups) == 34

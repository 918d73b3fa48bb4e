from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.events_api.generator import GeneratedWeek, GeneratorOptions
from libs.emulators.events_api.span import Span

Generate = Callable[[GeneratorOptions], GeneratedWeek]

WEEK = Span.week_of(date(2019, 10, 7))
MESSY = GeneratorOptions(
    events=3_000, bad_pct=Fraction(3), drift_pct=Fraction(2), time_format="mixed", id_format="mixed"
)
MESSY_WEEK = GeneratedWeek(MESSY, WEEK)
MESSY_RECORDS = MESSY_WEEK.records(0, 3_000)
FIELDS = [
    "event_time",
    "event_type",
    "product_id",
    "category_id",
    "category_code",
    "brand",
    "price",
    "user_id",
    "user_session",
]
CODES = ["bad_price", "bad_time", "bad_type", "empty_value", "missing_field", "negative_price", "not_an_object"]


def decoded(records: list[str]) -> list[dict[str, Any]]:
    return [json.loads(record, parse_float=Decimal) for record in records]


def test_a_page_is_the_same_in_every_process_and_on_every_python() -> None:
    # a pinned digest: whoever changes the generator changes every recorded week, and should know it
    digest = hashlib.sha256("\n".join(MESSY_RECORDS).encode()).hexdigest()
    assert digest == "64aba3e1e69571068906048060b38fb7e094017f8446ac3380952310156139d6"


@given(st.integers(0, 3_100), st.integers(0, 500))
def test_any_slice_is_what_a_sequential_read_gives_there(first: int, size: int) -> None:
    assert MESSY_WEEK.records(first, first + size) == MESSY_RECORDS[first : first + size]


@pytest.mark.parametrize("first", [0, 4_999_500, 9_999_900])
def test_a_page_of_ten_million_events_is_generated_alone(generate: Generate, first: int) -> None:
    week = generate(GeneratorOptions(events=10_000_000))
    assert week.records(first + 10, first + 20) == week.records(first, first + 50)[10:20]


@pytest.mark.parametrize(
    "other",
    [
        GeneratedWeek(GeneratorOptions(events=3_000, seed=2), WEEK),
        GeneratedWeek(GeneratorOptions(events=3_000), Span.week_of(date(2019, 10, 14))),
    ],
    ids=["seed", "week"],
)
def test_another_seed_or_week_has_other_sessions(generate: Generate, other: GeneratedWeek) -> None:
    week = generate(GeneratorOptions(events=3_000))
    assert {event.session for event in week.events(0, 3_000)}.isdisjoint(
        event.session for event in other.events(0, 3_000)
    )


def test_customers_come_back_in_another_week(generate: Generate) -> None:
    week = generate(GeneratorOptions(events=3_000))
    next_week = GeneratedWeek(GeneratorOptions(events=3_000), Span.week_of(date(2019, 10, 14)))
    customers = {event.user_id for event in week.events(0, 3_000)}
    assert len(customers & {event.user_id for event in next_week.events(0, 3_000)}) > 0.9 * len(customers)


@pytest.mark.parametrize(("days", "count"), [(1, 100), (7, 700), (14, 1_400)])
def test_a_span_has_records_in_proportion_to_its_days(days: int, count: int) -> None:
    span = Span(date(2019, 10, 7), date(2019, 10, 6) + timedelta(days=days))
    week = GeneratedWeek(GeneratorOptions(events=700), span)
    assert week.count == count
    assert len(week.records(0, 10_000)) == count


def test_a_week_of_no_events_is_empty(generate: Generate) -> None:
    assert generate(GeneratorOptions(events=0)).records(0, 100) == []


def test_a_negative_number_of_events_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        GeneratorOptions(events=-1)


def test_nothing_lies_beyond_the_end_of_the_week(generate: Generate) -> None:
    week = generate(GeneratorOptions(events=100))
    assert len(week.records(90, 200)) == 10
    assert week.records(100, 200) == []


def test_records_have_the_fields_and_types_of_the_public_data(generate: Generate) -> None:
    for record in decoded(generate(GeneratorOptions(events=2_000)).records(0, 2_000)):
        assert list(record) == FIELDS
        assert len(str(record["category_id"])) == 19
        assert record["price"] > 0
        assert record["price"].as_tuple().exponent == -2
        assert datetime.strptime(record["event_time"], "%Y-%m-%d %H:%M:%S UTC")  # noqa: DTZ007 - the shape is the point
        assert {type(record[name]) for name in ("product_id", "user_id", "category_id")} == {int}
        assert [len(part) for part in record["user_session"].split("-")] == [8, 4, 4, 4, 12]


def test_some_brands_and_category_codes_are_null(generate: Generate) -> None:
    records = decoded(generate(GeneratorOptions(events=2_000)).records(0, 2_000))
    assert 0.1 < sum(record["brand"] is None for record in records) / 2_000 < 0.4
    assert 0.2 < sum(record["category_code"] is None for record in records) / 2_000 < 0.5


def test_a_product_always_has_the_same_attributes(generate: Generate) -> None:
    attributes = defaultdict(set)
    for record in decoded(generate(GeneratorOptions(events=5_000)).records(0, 5_000)):
        attributes[record["product_id"]].add((record["category_id"], record["brand"], record["price"]))
    assert {len(found) for found in attributes.values()} == {1}


def test_most_events_are_views_and_carts_and_purchases_are_five_percent_each(generate: Generate) -> None:
    counts = Counter(event.event_type for event in generate(GeneratorOptions(events=50_000)).events(0, 50_000))
    assert 0.88 < counts["view"] / 50_000 < 0.91
    assert 0.04 < counts["cart"] / 50_000 < 0.06
    assert 0.04 < counts["purchase"] / 50_000 < 0.06


@pytest.mark.parametrize("events", [2_000, 300_000])
def test_a_visitor_views_a_product_before_putting_it_in_the_cart_or_buying_it(generate: Generate, events: int) -> None:
    week = list(generate(GeneratorOptions(events=events)).events(0, 50_000))
    first_view = {(e.session, e.product_no): e.index for e in reversed(week) if e.event_type == "view"}
    assert all(first_view.get((e.session, e.product_no), e.index + 1) <= e.index for e in week)


def test_a_session_belongs_to_one_customer_and_lasts_minutes(generate: Generate) -> None:
    sessions = defaultdict(list)
    for event in generate(GeneratorOptions(events=300_000)).events(150_000, 180_000):
        sessions[event.session].append(event)
    assert {len({event.user_id for event in events}) for events in sessions.values()} == {1}
    lengths = [
        (events[-1].hour - events[0].hour) * 3_600 + events[-1].second - events[0].second
        for events in sessions.values()
    ]
    assert max(lengths) < 3_600


@pytest.mark.parametrize("events", [3_000, 60_000])
def test_a_fifteenth_of_the_events_is_the_number_of_customers_and_some_come_often(
    generate: Generate, events: int
) -> None:
    counts = Counter(event.user_id for event in generate(GeneratorOptions(events=events)).events(0, events))
    assert abs(len(counts) - events / 15) < events / 150
    assert max(counts.values()) > 4 * 15


@pytest.mark.parametrize("events", [20, 5_000, 300_000])
def test_events_are_in_time_order_and_inside_their_week(generate: Generate, events: int, span: Span) -> None:
    week = generate(GeneratorOptions(events=events))
    seconds = [event.hour * 3_600 + event.second for event in week.events(0, 20_000)]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0
    last = [event.hour * 3_600 + event.second for event in week.events(events - 10, events)][-1]
    assert last < span.days * 86_400


@pytest.mark.parametrize("events", [7, 5_000])
def test_every_day_of_the_week_has_events(generate: Generate, events: int) -> None:
    days = Counter(event.hour // 24 for event in generate(GeneratorOptions(events=events)).events(0, events))
    assert sorted(days) == list(range(7))
    assert max(days.values()) - min(days.values()) <= 1


def test_evenings_are_busier_than_nights(generate: Generate) -> None:
    hours = Counter(event.hour % 24 for event in generate(GeneratorOptions(events=10_000)).events(0, 10_000))
    assert hours[16] > 5 * hours[23] > 0


@pytest.mark.parametrize("events", [2_000, 100_000, 30_000_000])
def test_no_good_record_comes_twice(generate: Generate, events: int) -> None:
    records = generate(GeneratorOptions(events=events)).records(0, 30_000)
    assert len(set(records)) == len(records)


def instants(records: list[dict[str, Any]]) -> list[datetime]:
    found = (datetime.fromisoformat(record["event_time"].replace(" UTC", "+00:00")) for record in records)
    return [instant if instant.tzinfo else instant.replace(tzinfo=UTC) for instant in found]


def test_mixed_times_are_the_same_instants_written_in_many_ways(generate: Generate) -> None:
    plain = instants(decoded(generate(GeneratorOptions(events=900)).records(0, 900)))
    mixed = decoded(generate(GeneratorOptions(events=900, time_format="mixed")).records(0, 900))
    assert [instant.replace(microsecond=0) for instant in instants(mixed)] == plain
    shapes = {"".join("9" if char.isdigit() else char for char in record["event_time"]) for record in mixed}
    assert len(shapes) == 8  # nine forms; those with a zone ahead of UTC look alike


def test_iso_times_end_in_z(generate: Generate) -> None:
    records = decoded(generate(GeneratorOptions(events=50, time_format="iso")).records(0, 50))
    assert all(record["event_time"][10] == "T" and record["event_time"].endswith("Z") for record in records)


@pytest.mark.parametrize(("id_format", "types"), [("number", {int}), ("string", {str}), ("mixed", {int, str})])
def test_ids_are_numbers_or_texts_as_asked(generate: Generate, id_format: Any, types: set[type]) -> None:
    records = decoded(generate(GeneratorOptions(events=200, id_format=id_format)).records(0, 200))
    for name in ("product_id", "category_id", "user_id"):
        assert {type(record[name]) for record in records} == types


def test_bad_records_take_the_place_of_good_ones_and_touch_no_other(generate: Generate) -> None:
    clean = generate(GeneratorOptions(events=2_000)).records(0, 2_000)
    week = generate(GeneratorOptions(events=2_000, bad_pct=Fraction(5)))
    spoiled = week.records(0, 2_000)
    assert len(week.bad(0, 2_000)) == 100
    assert {n for n in range(2_000) if clean[n] != spoiled[n]} == set(week.bad(0, 2_000))


def test_seven_bad_records_show_all_reject_codes(generate: Generate) -> None:
    week = generate(GeneratorOptions(events=700, bad_pct=Fraction(1)))
    assert sorted(fault.code for fault in week.bad(0, 700).values()) == CODES


def test_a_week_can_be_all_bad(generate: Generate) -> None:
    week = generate(GeneratorOptions(events=500, bad_pct=Fraction(100)))
    assert len(week.bad(0, 500)) == 500


def test_drifted_records_are_good_records_with_one_field_more(generate: Generate) -> None:
    week = generate(GeneratorOptions(events=2_000, bad_pct=Fraction(50), drift_pct=Fraction(10)))
    drifted, records = week.drifted(0, 2_000), week.records(0, 2_000)
    assert drifted.keys().isdisjoint(week.bad(0, 2_000))
    extras = [set(json.loads(records[index])) - set(FIELDS) for index in drifted]
    assert {len(extra) for extra in extras} == {1}
    assert len({name for extra in extras for name in extra}) == 7


def test_neighbouring_events_belong_to_different_visitors_in_a_busy_week(generate: Generate) -> None:
    events = list(generate(GeneratorOptions(events=1_000_000)).events(0, 2_000))
    runs = [len(list(run)) for _, run in groupby(events, key=lambda event: event.session)]
    assert max(runs) <= 2

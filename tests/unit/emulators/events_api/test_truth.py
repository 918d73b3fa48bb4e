from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from libs.emulators.events_api import truth
from libs.emulators.events_api.__main__ import main
from libs.emulators.events_api.generator import GeneratedWeek, GeneratorOptions
from libs.emulators.events_api.span import Span

OPTIONS = GeneratorOptions(
    events=4_000, seed=9, bad_pct=Fraction(2), drift_pct=Fraction(3), time_format="mixed", id_format="mixed"
)


@pytest.fixture
def good_records(span: Span) -> list[dict[str, Any]]:
    """The good records of the week as a client reads them."""
    week = GeneratedWeek(OPTIONS, span)
    bad = week.bad(0, week.count)
    records = week.records(0, week.count)
    return [json.loads(text, parse_float=Decimal) for index, text in enumerate(records) if index not in bad]


def instant(text: str) -> datetime:
    found = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def test_every_record_is_either_valid_or_rejected_with_a_code(span: Span) -> None:
    expected = truth.expected(OPTIONS, span)
    assert (expected.rows, expected.valid, expected.rejected) == (4_000, 3_920, 80)
    assert sum(expected.rejects_by_code.values()) == 80
    assert set(expected.rejects_by_code.values()) == {11, 12}


def test_the_totals_are_those_of_the_records_served(span: Span, good_records: list[dict[str, Any]]) -> None:
    expected = truth.expected(OPTIONS, span)
    assert expected.valid == len(good_records)
    assert expected.events_by_type == Counter(record["event_type"] for record in good_records)
    spent = [record["price"] for record in good_records if record["event_type"] == "purchase"]
    assert expected.purchases_total == sum(spent)
    assert expected.purchases_total == sum(expected.purchases_by_customer.values())


def test_each_customer_s_figures_are_those_of_the_records_served(
    span: Span, good_records: list[dict[str, Any]]
) -> None:
    by_customer = defaultdict(list)
    for record in good_records:
        by_customer[str(record["user_id"])].append(record)
    expected = truth.expected(OPTIONS, span)
    assert expected.customers.keys() == by_customer.keys()
    for user_id, records in by_customer.items():
        types = Counter(record["event_type"] for record in records)
        times = [instant(record["event_time"]) for record in records]
        assert expected.customers[user_id] == truth.CustomerTruth(
            total_spend=sum((r["price"] for r in records if r["event_type"] == "purchase"), Decimal(0)),
            orders=types["purchase"],
            views=types["view"],
            carts=types["cart"],
            sessions=len({record["user_session"] for record in records}),
            active_days=len({time.date() for time in times}),
            last_event_at=max(times),
        )


def test_drift_is_counted_by_field(span: Span, good_records: list[dict[str, Any]]) -> None:
    known = {"event_time", "event_type", "product_id", "category_id", "category_code", "brand", "price", "user_id"}
    found = Counter(name for record in good_records for name in record.keys() - known - {"user_session"})
    assert truth.expected(OPTIONS, span).drift_by_field == found
    assert found.total() > 100


def test_a_week_that_is_all_bad_has_no_customers(span: Span) -> None:
    expected = truth.expected(GeneratorOptions(events=50, bad_pct=Fraction(100)), span)
    assert (expected.valid, expected.rejected, expected.purchases_total) == (0, 50, Decimal(0))
    assert expected.customers == {}


def test_the_command_prints_the_truth_as_json(span: Span, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["truth", "--events", "500", "--bad-pct", "1.4", "--start-date", "2019-10-07"]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = truth.expected(GeneratorOptions(events=500, bad_pct=Fraction("1.4")), span)
    assert printed["end_date"] == "2019-10-13"
    assert printed["rejected"] == expected.rejected == 7
    assert printed["purchases_total"] == str(expected.purchases_total)
    assert printed["customers"].keys() == expected.customers.keys()
    assert main([*command, "--no-customers"]) == 0
    assert json.loads(capsys.readouterr().out)["customers"] == {}


def test_the_command_refuses_dates_that_make_no_span(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["truth", "--start-date", "2019-10-07", "--end-date", "2019-10-01"])
    assert stopped.value.code == 2
    assert "before start_date" in capsys.readouterr().err

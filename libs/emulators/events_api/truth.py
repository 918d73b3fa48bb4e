"""What a pipeline must make of a generated week, worked out from the generator's own events.

Nothing is parsed or validated here: what is good is known because the generator made it so, and what is bad carries
its verdict (``bad_records``), so the figures can hold a pipeline to account.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec

from libs.emulators.events_api import drift, options
from libs.emulators.events_api.generator import Event, GeneratedWeek, GeneratorOptions
from libs.emulators.events_api.span import Span
from libs.emulators.events_api.timestamps import microseconds


class CustomerTruth(msgspec.Struct, frozen=True, gc=False):
    """One customer's week, from its valid events; money exact, instants in UTC."""

    total_spend: Decimal
    orders: int
    views: int
    carts: int
    sessions: int
    active_days: int
    last_event_at: datetime


class Truth(msgspec.Struct, frozen=True):
    """A generated week's expected result; ``customers`` is keyed by user id as text."""

    start_date: date
    end_date: date
    rows: int
    valid: int
    rejected: int
    rejects_by_code: dict[str, int]
    drift_by_field: dict[str, int]
    events_by_type: dict[str, int]
    purchases_total: Decimal
    customers: dict[str, CustomerTruth]

    @property
    def purchases_by_customer(self) -> dict[str, Decimal]:
        """Return the purchase total of every customer who bought something."""
        return {user_id: customer.total_spend for user_id, customer in self.customers.items() if customer.orders}


@dataclass(slots=True)
class _Tally:
    spend: Decimal = Decimal(0)
    types: Counter[str] = field(default_factory=Counter)
    sessions: set[str] = field(default_factory=set)
    days: set[int] = field(default_factory=set)
    last: datetime | None = None

    def add(self, event: Event, price: Decimal, instant: datetime) -> None:
        self.types[event.event_type] += 1
        self.sessions.add(event.session)
        self.days.add(event.hour // 24)
        self.last = instant if self.last is None else max(self.last, instant)
        if event.event_type == "purchase":
            self.spend += price

    def result(self) -> CustomerTruth:
        assert self.last is not None
        types = self.types
        return CustomerTruth(
            self.spend, types["purchase"], types["view"], types["cart"], len(self.sessions), len(self.days), self.last
        )


def expected(given: GeneratorOptions, span: Span) -> Truth:
    """Return what a pipeline must make of the span; takes some microseconds and keeps its customers in memory."""
    week = GeneratedWeek(given, span)
    bad = week.bad(0, week.count)
    tallies: dict[int, _Tally] = {}
    for event in week.events(0, week.count):
        if event.index not in bad:
            offset = timedelta(
                hours=event.hour,
                seconds=event.second,
                microseconds=microseconds(given.time_format, event.index),
            )
            tally = tallies.setdefault(event.user_id, _Tally())
            tally.add(event, week.products[event.product_no].price, week.traffic.begins(0) + offset)
    customers = {str(user_id): tally.result() for user_id, tally in tallies.items()}
    types = sum((tally.types for tally in tallies.values()), Counter[str]())
    extra = (drift.extra_field(n)[0] for n in week.drifted(0, week.count).values())
    return Truth(
        start_date=span.start,
        end_date=span.end,
        rows=week.count,
        valid=week.count - len(bad),
        rejected=len(bad),
        rejects_by_code=dict(sorted(Counter(record.code for record in bad.values()).items())),
        drift_by_field=dict(sorted(Counter(extra).items())),
        events_by_type=dict(sorted(types.items())),
        purchases_total=sum((customer.total_spend for customer in customers.values()), Decimal(0)),
        customers=customers,
    )


def main(argv: Sequence[str]) -> int:
    """Print the truth about one generated span as a JSON object on stdout; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m libs.emulators.events_api truth", description="Print what a generated week holds, as JSON."
    )
    parser.add_argument("--start-date", required=True, metavar="D", help="first day, YYYY-MM-DD")
    parser.add_argument("--end-date", metavar="D", help="last day (6 days after the first)")
    parser.add_argument("--no-customers", action="store_true", help="leave the figures per customer out")
    options.add_generator(parser)
    given = parser.parse_args(argv)
    try:
        start = date.fromisoformat(given.start_date)
        end = given.end_date or Span.week_of(start).end.isoformat()
        truth = expected(options.generator_options(given), Span.parse(given.start_date, end))
    except ValueError as error:
        parser.error(str(error))
    if given.no_customers:
        truth = msgspec.structs.replace(truth, customers={})
    sys.stdout.write(msgspec.json.encode(truth).decode() + "\n")
    return 0

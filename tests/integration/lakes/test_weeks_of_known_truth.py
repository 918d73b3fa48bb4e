"""Generated weeks through the chain: what comes out is what the generator knows, and the same on both kinds of lake.

The generator's figures are its own; beside them stands a reading of every served record with nothing but the standard
library, so that neither the validator's nor DuckDB's idea of a number or an instant is measured by itself.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import pytest

from libs.common.events.pages import RECORD_KEYS
from libs.emulators.events_api import bad_records
from libs.emulators.events_api.faults import FaultSettings
from libs.emulators.events_api.generator import GeneratedWeek, GeneratorOptions
from libs.emulators.events_api.pages import PageShape
from libs.emulators.events_api.server import ServerOptions
from libs.emulators.events_api.source import GeneratedSource
from libs.emulators.events_api.span import Span
from libs.emulators.events_api.truth import expected
from tests.integration.kits import WEEK

SPAN = Span(WEEK.start, WEEK.end)
FAULTS = FaultSettings(pct={"429": 5, "500": 5, "503": 5, "truncate": 5, "disconnect": 5}, retry_after_sec=0)
CENT = Decimal("0.01")
WEEKS = [
    (GeneratorOptions(events=700, seed=11, bad_pct=Fraction(10)), PageShape(), 100),
    (
        GeneratorOptions(events=700, seed=12, bad_pct=Fraction(30), time_format="iso", id_format="string"),
        PageShape(body="data", total="field"),
        37,
    ),
    (
        GeneratorOptions(events=900, seed=13, bad_pct=Fraction(5), time_format="mixed", id_format="mixed"),
        PageShape(body="events", pagination="cursor"),
        250,
    ),
    (
        GeneratorOptions(events=700, seed=14, drift_pct=Fraction(20), time_format="mixed"),
        PageShape(body="results", total="header", pagination="link"),
        61,
    ),
    (
        GeneratorOptions(events=700, seed=15, bad_pct=Fraction(60), drift_pct=Fraction(5), id_format="mixed"),
        PageShape(body="items", total="header"),
        1000,
    ),
]
each_week = pytest.mark.parametrize(("week", "shape", "page_size"), WEEKS, ids=lambda value: str(value)[:60])


@each_week
async def test_rows_rejects_and_every_customers_money_are_what_the_generator_knows(
    chain: Any, week: GeneratorOptions, shape: PageShape, page_size: int
) -> None:
    truth = expected(week, SPAN)
    run = await chain.run(
        GeneratedSource(week), ServerOptions(shape=shape, faults=FAULTS), api_page_size=page_size, part_max_events=200
    )
    assert (run.rows_fetched, run.rows_output, run.rows_rejected) == (truth.rows, truth.valid, truth.rejected)
    assert Counter(row["reject_code"] for row in await chain.rejects()) == truth.rejects_by_code
    signals = {row["external_customer_id"]: row for row in await chain.signals()}
    assert {
        customer: (row["total_spend_week"], row["orders_week"], row["views_week"], row["carts_week"])
        for customer, row in signals.items()
    } == {
        customer: (told.total_spend.quantize(CENT, ROUND_HALF_UP), told.orders, told.views, told.carts)
        for customer, told in truth.customers.items()
    }
    assert {
        customer: (row["sessions_week"], row["active_days_week"], row["last_event_at"])
        for customer, row in signals.items()
    } == {customer: (told.sessions, told.active_days, told.last_event_at) for customer, told in truth.customers.items()}


@pytest.mark.parametrize("id_format", ["number", "string", "mixed"])
async def test_every_event_is_what_the_standard_library_reads_in_its_record(chain: Any, id_format: Any) -> None:
    week = GeneratorOptions(events=700, seed=21, time_format="rees46", id_format=id_format)
    await chain.run(GeneratedSource(week), ServerOptions(shape=PageShape(body="data")), part_max_events=300)
    read = [_plainly(json.loads(text, parse_float=Decimal)) for text in GeneratedWeek(week, SPAN).records(0, 700)]
    columns = list(read[0])
    published = [tuple(row[name] for name in columns) for row in await chain.events()]
    assert Counter(published) == Counter(tuple(row.values()) for row in read)
    spent: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in read:
        spent[row["user_id"]] += row["price"] * (row["event_type"] == "purchase")
    told = {row["external_customer_id"]: row["total_spend_week"] for row in await chain.signals()}
    assert told == {customer: money.quantize(CENT, ROUND_HALF_UP) for customer, money in spent.items()}


def _plainly(record: dict[str, Any]) -> dict[str, Any]:
    """A good record of the generator, normalised by hand."""
    texts = ("category_code", "brand", "user_session")
    return {
        "event_time": datetime.strptime(record["event_time"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC),
        "event_type": record["event_type"],
        **{name: str(record[name]) for name in ("product_id", "category_id", "user_id")},
        **{name: record[name] for name in texts},
        "price": Decimal(record["price"]),
    }


class EveryFault:
    """A source of one good record spoiled in each way there is."""

    def __init__(self) -> None:
        variants = map(bad_records.variant, range(500))
        self.faults = list({id(fault): fault for fault in variants}.values())  # they come again and again
        good = GeneratedWeek(GeneratorOptions(events=1), SPAN).records(0, 1)[0]
        self.texts = [good, *(fault.spoil(good) for fault in self.faults)]

    def count(self, span: Span) -> int:
        return len(self.texts)

    def records(self, span: Span, first: int, stop: int) -> list[str]:
        return self.texts[first:stop]


@pytest.mark.parametrize("key", [*RECORD_KEYS, "list"])
async def test_every_way_to_spoil_a_record_gets_the_verdict_that_was_written_down_for_it(chain: Any, key: str) -> None:
    source = EveryFault()
    await chain.run(source, ServerOptions(shape=PageShape(body=key)), api_page_size=7, part_max_events=14)
    rejects = sorted(await chain.rejects(), key=lambda row: (row["page"], row["position"]))
    assert [(row["reject_code"], row["field"]) for row in rejects] == [
        (fault.code, fault.field) for fault in source.faults
    ]
    assert [row["raw"] for row in rejects] == source.texts[1:]


@each_week
async def test_both_lakes_hold_the_same_files_to_the_byte(
    chain: Any, chain_on_adls: Any, week: GeneratorOptions, shape: PageShape, page_size: int
) -> None:
    for each in (chain, chain_on_adls):
        await each.run(GeneratedSource(week), ServerOptions(shape=shape), api_page_size=page_size, part_max_events=200)
    files = await chain.digests()
    assert await chain_on_adls.digests() == files
    assert {path.split("/")[0] for path in files} == {"runs", "curated", "signals", "state"}

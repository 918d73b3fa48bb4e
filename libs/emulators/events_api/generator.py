"""A generated week: any event of it from its index alone, the same in every process.

Event ``index`` is a pure function of (seed, dates, number of events, index). Nothing is kept between calls, so a page
costs the same wherever it lies in the week, and memory does not grow with the week.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

import msgspec

from libs.emulators.events_api import bad_records, catalogue, draws, drift, sessions
from libs.emulators.events_api.span import Span
from libs.emulators.events_api.timestamps import MINUTE_AND_SECOND, TimeFormat, hour_texts
from libs.emulators.events_api.traffic import Traffic

IdFormat = Literal["number", "string", "mixed"]

EVENTS_PER_CUSTOMER = 15
_FIRST_USER_ID = 512_000_000
_USER_ID_STEP = 37  # ids are spread out as those of a real shop are
# Every third session goes to the customers in turn, so each is seen; the others are drawn, the early ones more often.
_SESSIONS_PER_TURN = 3
_SKEW = (1 << 32) // 10  # the most frequent customer is drawn 11 times as often as the average one


@dataclass(frozen=True)
class GeneratorOptions:
    """What week to generate: ``events`` for seven days (other spans in proportion), shares in percent."""

    events: int = 100_000
    seed: int = 1
    bad_pct: Fraction = Fraction(0)
    drift_pct: Fraction = Fraction(0)
    time_format: TimeFormat = "rees46"
    id_format: IdFormat = "number"

    def __post_init__(self) -> None:
        if self.events < 0:
            raise ValueError(f"the number of events must not be negative, got {self.events}")

    def count(self, span: Span) -> int:
        """Return how many records a span has, good and bad."""
        return (self.events * span.days * 2 + 7) // 14  # rounded half up


class Event(msgspec.Struct, frozen=True, gc=False):
    """One good event; ``second`` counts from the start of ``hour``, ``hour`` from the start of the span."""

    index: int
    hour: int
    second: int
    event_type: str
    product_no: int
    user_id: int
    session: str


@lru_cache(maxsize=4)
def _shop(seed: int) -> tuple[catalogue.Catalogue, sessions.Cycle]:
    return catalogue.build(seed), sessions.build_cycle(seed)


class GeneratedWeek:
    """The events of one span, in time order."""

    def __init__(self, options: GeneratorOptions, span: Span) -> None:
        self.options = options
        self.span = span
        self.count = options.count(span)
        shop, self._cycle = _shop(options.seed)
        self.products = shop.products
        self._popularity = shop.popularity
        self.traffic = Traffic(span, self.count)
        week = (options.seed, span, options.events)
        self._session_family = draws.key("session", *week)
        self._rotation_family = draws.key("rotation", *week)
        self._lanes = sessions.lanes_for(self.count, span.days)
        lane_family = draws.key("lane", *week)
        self._lane_session = [draws.below(lane_family, lane, len(self._cycle.starts)) for lane in range(self._lanes)]
        self._customers = max(1, self.count // EVENTS_PER_CUSTOMER)
        self._bad = draws.Strata(draws.key("bad", *week), options.bad_pct)
        self._drift = draws.Strata(draws.key("drift", *week), options.drift_pct)
        self._product_texts = [self._product_text(number) for number in range(len(self.products))]

    def bad(self, first: int, stop: int) -> dict[int, bad_records.BadRecord]:
        """Return the fault of every bad record whose index lies in [first, stop)."""
        return {index: bad_records.variant(n) for index, n in self._bad.within(first, stop).items()}

    def drifted(self, first: int, stop: int) -> dict[int, int]:
        """Return {index: number of its extra field} for the good records in [first, stop) that carry an unknown one."""
        bad = self._bad.within(first, stop)
        return {index: n for index, n in self._drift.within(first, stop).items() if index not in bad}

    def events(self, first: int, stop: int) -> Iterator[Event]:
        """Yield the events [first, stop), cut at the end of the week, as they are before bad records replace some."""
        lanes, customers = self._lanes, self._customers
        steps, starts = self._cycle.steps, self._cycle.starts
        rows_per_cycle, sessions_per_cycle = len(steps), len(starts)
        popularity, slots, products = self._popularity, len(self._popularity), len(self.products)
        family, lane_session = self._session_family, self._lane_session
        known_row, rotation = -1, 0
        for hour, begin, hour_first, hour_stop in self.traffic.hours(first, min(stop, self.count)):
            seconds_per_event = 3_600 / self.traffic.size(hour)
            for index in range(hour_first, hour_stop):
                row, column = divmod(index, lanes)
                if row != known_row:
                    known_row, rotation = row, draws.below(self._rotation_family, row, lanes)
                lane = (column + rotation) % lanes
                lane_start = lane_session[lane]
                cycle_no, cycle_row = divmod(starts[lane_start] + row, rows_per_cycle)
                step = steps[cycle_row]
                ordinal = (cycle_no * sessions_per_cycle + step.session - lane_start) * lanes + lane
                drawn = blake2b(family + ordinal.to_bytes(8, "little"), digest_size=24).hexdigest()
                if ordinal % _SESSIONS_PER_TURN == 0:
                    customer = ordinal // _SESSIONS_PER_TURN % customers
                else:
                    place = int(drawn[40:], 16)
                    customer = customers * place * (place + _SKEW) // ((1 << 32) * ((1 << 32) + _SKEW))
                yield Event(
                    index,
                    hour,
                    # the low 16 bits of a multiplicative hash: somewhere in the event's own slot, so order is kept
                    int((index - begin + (index * 40_503 & 0xFFFF) / 65_536) * seconds_per_event),
                    step.event_type,
                    (popularity[int(drawn[32:40], 16) % slots] + step.product_offset) % products,
                    _FIRST_USER_ID + customer * _USER_ID_STEP,
                    f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-a{drawn[17:20]}-{drawn[20:32]}",
                )

    def records(self, first: int, stop: int) -> list[str]:
        """Return the JSON texts of the records [first, stop), cut at the end of the week."""
        stop = min(stop, self.count)
        texts: list[str] = []
        hour, forms = -1, hour_texts(self.options.time_format, self.traffic.begins(0))
        quote_even, quote_odd = _quotes(self.options.id_format)
        for event in self.events(first, stop):
            if event.hour != hour:
                hour = event.hour
                forms = hour_texts(self.options.time_format, self.traffic.begins(hour))
            before, after = forms[event.index % len(forms)]
            quote = quote_odd if event.user_id & 1 else quote_even
            texts.append(
                f'{{"event_time":"{before}{MINUTE_AND_SECOND[event.second]}{after}","event_type":"{event.event_type}",'
                f'{self._product_texts[event.product_no]},"user_id":{quote}{event.user_id}{quote},'
                f'"user_session":"{event.session}"}}'
            )
        for index, ordinal in self.drifted(first, stop).items():
            texts[index - first] = drift.add_field(texts[index - first], ordinal)
        for index, fault in self.bad(first, stop).items():
            texts[index - first] = fault.spoil(texts[index - first])
        return texts

    def _product_text(self, number: int) -> str:
        product = self.products[number]
        quote = _quotes(self.options.id_format)[number & 1]
        code = "null" if product.category_code is None else f'"{product.category_code}"'
        brand = "null" if product.brand is None else f'"{product.brand}"'
        return (
            f'"product_id":{quote}{product.product_id}{quote},"category_id":{quote}{product.category_id}{quote},'
            f'"category_code":{code},"brand":{brand},"price":{product.price}'
        )


def _quotes(id_format: IdFormat) -> tuple[str, str]:
    """Return what surrounds an even and an odd id."""
    return {"number": ("", ""), "string": ('"', '"'), "mixed": ("", '"')}[id_format]

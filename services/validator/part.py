"""One part: pages in, tables of valid events and of rejects out, every record in exactly one of them. Pure."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from libs.common.events.pages import PageError, split_page
from libs.common.events.report import Report
from libs.common.events.schema import ENCODED_EVENT_SCHEMA, EVENT_SCHEMA, REJECT_SCHEMA
from libs.common.week import Week
from services.validator.columns import RECORD_SCHEMA, judge_columns
from services.validator.decoding import PageDecoder
from services.validator.gathering import Gathered, gather
from services.validator.record import Event, Fault, judge
from services.validator.values import read_json

BATCH_RECORDS: Final = 8_192
"""Records judged together at least: enough that the cost of a column's rule is its values', few enough for a cache."""
GATHERED_RECORDS: Final = 1_000
"""Records kept as they were decoded before their values become columns, at least; a usual page."""

_BATCH_SCHEMA: Final = pa.schema(list(EVENT_SCHEMA)[len(RECORD_SCHEMA) :])
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Reject(NamedTuple):
    """A row of REJECT_SCHEMA."""

    page: int
    position: int
    reject_code: str
    field: str | None
    message: str
    raw: str


@dataclass(frozen=True, slots=True)
class _Page:
    number: int
    body: bytes
    first: int
    """The place of its first record in the batch."""


class PartJudge:
    """Feed it the pages in order, take what `flush` gives."""

    def __init__(self, week: Week, ingested_at: datetime) -> None:
        batch = (week.start, week.end, (ingested_at - _EPOCH) // _MICROSECOND)
        self._batch = [pa.scalar(value, kind.type) for value, kind in zip(batch, _BATCH_SCHEMA, strict=True)]
        self._decoder = PageDecoder()
        self._report = Report()
        self._pages: list[_Page] = []
        self._records: list[Any] = []
        self._gathered: list[Gathered] = []
        self._count = 0
        """Of the records since the last flush."""
        self._rejects: list[Reject] = []

    @property
    def report(self) -> Report:
        """Counts of all that was flushed."""
        self._report.unknown_fields = {name: kinds for name, kinds in self._decoder.unknown.items() if kinds}
        return self._report

    @property
    def is_full(self) -> bool:
        """Whether it is time to flush."""
        return self._count >= BATCH_RECORDS

    def add_page(self, number: int, body: bytes) -> None:
        """Take up one page; one without readable records becomes a reject of its own (position -1)."""
        try:
            records = self._decoder.decode(body)
        except PageError as error:
            self._rejects.append(Reject(number, -1, error.code, None, str(error), _readable(body)))
            return
        self._pages.append(_Page(number, body, self._count))
        self._count += len(records)
        self._records.extend(records)
        if len(self._records) >= GATHERED_RECORDS:
            self._gather()

    def flush(self) -> tuple[Any, Any]:
        """Judge the pages taken up since the last flush: a table of ENCODED_EVENT_SCHEMA, one of REJECT_SCHEMA.

        Both in the order of the source.
        """
        if self._records or not self._gathered:
            self._gather()
        table, doubtful = judge_columns(self._gathered)
        valid = table
        if doubtful:
            rows, events = self._judge_one_by_one(doubtful)
            certain = _all_but(doubtful, self._count)
            valid = _merge(table.filter(certain), pc.indices_nonzero(certain), events, rows)
        rejects = sorted(self._rejects, key=lambda reject: (reject.page, reject.position))
        self._report.valid += valid.num_rows
        self._report.rejected += len(rejects)
        self._report.reject_counts.update(reject.reject_code for reject in rejects)
        self._pages, self._gathered, self._count, self._rejects = [], [], 0, []
        return self._with_batch(valid), _table(rejects, REJECT_SCHEMA)

    def _gather(self) -> None:
        self._gathered.append(gather(self._records))
        self._records = []

    def _judge_one_by_one(self, rows: list[int]) -> tuple[list[int], list[Event]]:
        valid_rows, events = [], []
        for row, page, position, text in self._texts(rows):
            verdict = judge(read_json(text))
            if isinstance(verdict, Fault):
                self._rejects.append(
                    Reject(page, position, verdict.code, verdict.field, verdict.message, _readable(text))
                )
            else:
                valid_rows.append(row)
                events.append(verdict)
        return valid_rows, events

    def _texts(self, rows: list[int]) -> Iterator[tuple[int, int, int, bytes]]:
        """(row, page number, position in the page, JSON text) of rows given in ascending order."""
        firsts = [page.first for page in self._pages]
        for index, of_page in groupby(rows, key=lambda row: bisect_right(firsts, row) - 1):
            page = self._pages[index]
            positions = [row - page.first for row in of_page]
            for position, text in zip(positions, split_page(page.body, positions), strict=True):
                yield page.first + position, page.number, position, text

    def _with_batch(self, valid: Any) -> Any:
        batch = [pa.repeat(value, valid.num_rows) for value in self._batch]
        return pa.Table.from_arrays([*valid.columns, *batch], schema=ENCODED_EVENT_SCHEMA)


def _all_but(rows: list[int], count: int) -> Any:
    """A Boolean array of so many rows, false in those given."""
    mask = bytearray(b"\x01") * count
    for row in rows:
        mask[row] = 0
    return pa.Array.from_buffers(pa.uint8(), count, [None, pa.py_buffer(mask)]).cast(pa.bool_())


def _merge(table: Any, rows: Any, events: list[Event], event_rows: list[int]) -> Any:
    """Put `events` among the rows of `table`, ordered by the row numbers of both."""
    if not events:
        return table
    # As integers, because Arrow looks for a time zone library at every aware datetime.
    rows_of_events = [((event.event_time - _EPOCH) // _MICROSECOND, *event[1:]) for event in events]
    both = pa.concat_tables([table, _table(rows_of_events, RECORD_SCHEMA)])
    places = pa.concat_arrays([rows.cast(pa.uint64()), pa.array(event_rows, pa.uint64())])
    return both.take(pc.array_sort_indices(places))


def _table(rows: list[Any], schema: Any) -> Any:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.Table.from_arrays(
        [pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)], schema=schema
    )


def _readable(text: bytes) -> str:
    """JSON text as it came; bytes that are not UTF-8, and so no JSON, as `\\xNN`."""
    return text.decode("utf-8", "backslashreplace")

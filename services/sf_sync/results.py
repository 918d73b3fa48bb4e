"""Outcomes of one sending as Parquet, one row for each row sent, found again by external id."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from services.sf_sync.canonical import KEY
from services.sf_sync.composite import RowOutcome
from services.sf_sync.outcomes import Kind, RowError, Status, parse_error

SCHEMA: Final = pa.schema(
    [
        (KEY, pa.string()),
        ("wave", pa.int64()),
        ("status", pa.string()),
        ("created", pa.bool_()),
        ("salesforce_id", pa.string()),
        ("job_id", pa.string()),
        ("code", pa.string()),
        ("kind", pa.string()),
        ("message", pa.string()),
    ]
)
_BLOCK_BYTES: Final = 1 << 20
_ID, _CREATED, _ERROR = "sf__id", "sf__created", "sf__error"


class OutcomeWriter:
    """Writes the outcomes of one sending; a context manager. `rows` counts them, `failed` those that failed by kind."""

    def __init__(self, target: Path, *, wave: int, job_id: str | None) -> None:
        self.rows = 0
        self.failed: Counter[Kind] = Counter()
        self._wave, self._job_id = wave, job_id
        self._writer = pq.ParquetWriter(target, SCHEMA, compression="zstd")

    def __enter__(self) -> "OutcomeWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add_accepted(self, keys: pa.Array, created: pa.Array, ids: pa.Array) -> None:
        """Rows that Salesforce took."""
        self._write(keys, Status.ACCEPTED, created=created, salesforce_id=ids)

    def add_failed(self, keys: pa.Array, status: Status, errors: Sequence[RowError]) -> None:
        """Rows that it did not."""
        columns = {
            name: pa.array([getattr(error, name) for error in errors], pa.string()) for name in ("code", "message")
        }
        self.failed.update(error.kind for error in errors)
        kinds = pa.array([error.kind.value for error in errors], pa.string())
        self._write(keys, status, created=pa.repeat(False, len(keys)), kind=kinds, **columns)

    def add(self, keys: Sequence[str], outcomes: Sequence[RowOutcome]) -> None:
        """The answer of one call of the Collections API, in the order of the keys."""
        pairs = list(zip(keys, outcomes, strict=True))
        good = [(key, outcome) for key, outcome in pairs if outcome.error is None]
        bad = [(key, outcome.status, outcome.error) for key, outcome in pairs if outcome.error is not None]
        self.add_accepted(
            pa.array([key for key, _ in good], pa.string()),
            pa.array([outcome.created for _, outcome in good], pa.bool_()),
            pa.array([outcome.salesforce_id for _, outcome in good], pa.string()),
        )
        self.add_failed(pa.array([key for key, *_ in bad], pa.string()), Status.REJECTED, [error for *_, error in bad])

    def _write(self, keys: pa.Array, status: Status, **columns: pa.Array) -> None:
        count = len(keys)
        constants = {
            KEY: keys,
            "wave": pa.repeat(self._wave, count),
            "status": pa.repeat(status.value, count),
            "job_id": pa.repeat(pa.scalar(self._job_id, pa.string()), count),
        }
        every = {**constants, **columns}
        arrays = [every.get(field.name, pa.nulls(count, field.type)).cast(field.type) for field in SCHEMA]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
        self.rows += count


def add_successful(writer: OutcomeWriter, pages: Sequence[Path], external_id: str) -> None:
    """The pages of `successfulResults`."""
    for batch in _batches(pages, (external_id, _ID, _CREATED)):
        keys, ids, created = batch.columns
        writer.add_accepted(keys, created.cast(pa.bool_()), ids)


def add_failed(writer: OutcomeWriter, pages: Sequence[Path], external_id: str) -> None:
    """The pages of `failedResults`."""
    for batch in _batches(pages, (external_id, _ERROR)):
        keys, texts = batch.columns
        writer.add_failed(keys, Status.REJECTED, [parse_error(text) for text in texts.to_pylist()])


def add_unprocessed(writer: OutcomeWriter, pages: Sequence[Path], external_id: str, reason: RowError) -> None:
    """The pages of `unprocessedrecords`."""
    for batch in _batches(pages, (external_id,)):
        writer.add_failed(batch.column(0), Status.UNPROCESSED, [reason] * batch.num_rows)


def _batches(pages: Sequence[Path], wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The wanted columns as strings, in that order; names are found without regard to case. Empty pages are skipped."""
    for page in pages:
        names = _header(page)
        if not names:
            continue
        by_lower = {name.lower(): name for name in names}
        columns = [by_lower[name.lower()] for name in wanted]
        with pa_csv.open_csv(
            page,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pa.string()),
                strings_can_be_null=False,
            ),
        ) as reader:
            yield from reader


def _header(page: Path) -> list[str]:
    with page.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])

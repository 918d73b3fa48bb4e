"""Where the week's rows come from: the signals file named in `gate.passed`, or the warehouse view."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from libs.common.week import Week
from services.sf_sync.canonical import to_text
from services.sf_sync.errors import SourceError
from services.sf_sync.mapping import Format
from services.sf_sync.settings import SfSyncSettings

BATCH_ROWS: Final = 10_000

SIGNALS_SCHEMA: Final = pa.schema(
    [
        ("external_signal_id", pa.string()),
        ("external_customer_id", pa.string()),
        ("week_start", pa.date32()),
        ("week_end", pa.date32()),
        ("total_spend_week", pa.decimal128(18, 2)),
        ("orders_week", pa.int64()),
        ("views_week", pa.int64()),
        ("carts_week", pa.int64()),
        ("sessions_week", pa.int64()),
        ("active_days_week", pa.int64()),
        ("avg_order_value_week", pa.decimal128(18, 2)),
        ("last_event_at", pa.timestamp("us", "UTC")),
        ("top_category", pa.string()),
        ("top_brand", pa.string()),
        ("customer_tier", pa.string()),
        ("refreshed_at", pa.timestamp("us", "UTC")),
    ]
)
"""The signals' contract: one row for each customer and week."""


class Source(Protocol):
    """Rows of one week, read as often as asked. Blocks."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""

    def batches(self) -> AbstractContextManager[Iterator[pa.RecordBatch]]:
        """All rows, at most BATCH_ROWS at a time. Raises SourceError."""


class SignalsFile:
    """A Parquet file of signals; further columns than the contract's are there for the mapping too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.schema = pq.read_schema(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError(f"The signals file {path.name} is no readable Parquet: {error}.") from error

    @contextmanager
    def batches(self) -> Iterator[Iterator[pa.RecordBatch]]:
        """See `Source.batches`."""
        with pq.ParquetFile(self._path, pre_buffer=False) as file:
            yield file.iter_batches(batch_size=BATCH_ROWS, use_threads=False)


@dataclass(frozen=True, slots=True)
class WarehouseView:
    """The warehouse view, streamed through ODBC: the contract's columns, the week's rows."""

    connection_string: str = field(repr=False)
    view: str
    week: Week
    schema: pa.Schema = SIGNALS_SCHEMA

    @contextmanager
    def batches(self) -> Iterator[Iterator[pa.RecordBatch]]:
        """See `Source.batches`."""
        pyodbc = _driver()
        columns = ", ".join(self.schema.names)
        # `view` is an identifier: the settings let nothing else through.
        sql = f"SELECT {columns} FROM {self.view} WHERE week_start = ? AND week_end = ?"
        try:
            with closing(pyodbc.connect(self.connection_string, readonly=True)) as connection:
                cursor = connection.cursor()
                cursor.execute(sql, self.week.start, self.week.end)
                yield self._pages(cursor)
        except pyodbc.Error as error:
            state = error.args[0] if error.args else "?"
            raise SourceError(f"Reading {self.view} failed (SQLSTATE {state}).") from error

    def _pages(self, cursor: Any) -> Iterator[pa.RecordBatch]:
        while rows := cursor.fetchmany(BATCH_ROWS):
            columns = zip(*rows, strict=True)
            arrays = [_array(values, one.type) for values, one in zip(columns, self.schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)


@asynccontextmanager
async def open_source(
    settings: SfSyncSettings, week: Week, signals: AbstractAsyncContextManager[Path]
) -> AsyncIterator[Source]:
    """The week's rows from where the settings say; `signals` brings the signals file and is entered only for it.

    Raises SourceError, and what `signals` raises.
    """
    if settings.sf_source == "warehouse" and settings.sf_warehouse_url is not None:
        yield WarehouseView(settings.sf_warehouse_url.get_secret_value(), settings.sf_warehouse_view, week)
        return
    async with signals as path:
        yield SignalsFile(path)


def distinct_values(source: Source, columns: list[str]) -> dict[str, list[str]]:
    """The values found in each of the columns, as they are sent; for columns of few values. Raises SourceError."""
    found: dict[str, set[str]] = {column: set() for column in columns if column in source.schema.names}
    if found:
        with source.batches() as batches:
            for batch in batches:
                for column, values in found.items():
                    texts = to_text(pc.unique(batch.column(column)), Format.TEXT)
                    values.update(text for text in texts.to_pylist() if text is not None)
    return {column: sorted(values) for column, values in found.items()}


def _array(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    """A driver's values as Arrow; ODBC's datetimes have no zone and are UTC by the contract."""
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.timestamp("us")).cast(kind)
    return pa.array(values, kind)


def _driver() -> Any:
    try:
        import pyodbc
    except ImportError as error:
        raise SourceError(
            "SF_SOURCE=warehouse needs pyodbc and an ODBC driver: install the extra `odbc` and Microsoft's driver 18."
        ) from error
    return pyodbc

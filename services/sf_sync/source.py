"""Where the week's rows come from: the signals file named in `gate.passed`, or the warehouse view."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from libs.common.state.errors import StateBusyError, StateUnavailableError
from libs.common.state.mssql_faults import mssql_fault
from libs.common.week import Week
from services.sf_sync.canonical import to_text
from services.sf_sync.errors import SourceError, SourceUnavailableError
from services.sf_sync.mapping import Format
from services.sf_sync.settings import SfSyncSettings

BATCH_ROWS: Final = 10_000
_LOGIN_TIMEOUT_SEC: Final = 30
_PASSING: Final = (StateBusyError, StateUnavailableError)  # what a server's error means is the same for any table

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
    """The warehouse view, streamed through ODBC: the contract's columns, the week's rows.

    Raises SourceUnavailableError too, where trying again may help.
    """

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
            connect = partial(pyodbc.connect, readonly=True, timeout=_LOGIN_TIMEOUT_SEC)
            with closing(connect(self.connection_string)) as connection:
                cursor = connection.cursor()
                cursor.execute(sql, self.week.start, self.week.end)
                yield self._pages(cursor)
        except pyodbc.Error as error:
            state, text = (str(each) for each in (*error.args, "?", "?")[:2])
            kind = SourceUnavailableError if mssql_fault(state, text) in _PASSING else SourceError
            # Its text may quote the connection string.
            raise kind(f"Reading {self.view} failed (SQLSTATE {state}).") from error

    def _pages(self, cursor: Any) -> Iterator[pa.RecordBatch]:
        while rows := cursor.fetchmany(BATCH_ROWS):
            columns = zip(*rows, strict=True)
            arrays = [self._array(values, one) for values, one in zip(columns, self.schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _array(self, values: tuple[Any, ...], column: pa.Field) -> pa.Array:
        """A driver's values in the contract's type, none of them rounded. ODBC's datetimes have no zone and are UTC."""
        try:
            found = pa.array(values)
            if pa.types.is_decimal(column.type) and not pa.types.is_decimal(found.type):
                found = pa.array([each if each is None else _exact(each) for each in values], column.type)
            return found.cast(column.type)
        except (pa.ArrowException, ValueError, TypeError, ArithmeticError) as error:
            raise SourceError(
                f"Column {column.name} of {self.view} holds a value that is no {column.type} ({type(error).__name__}): "
                "cast it in the view."
            ) from None


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


def _exact(value: Any) -> Decimal:
    """Some drivers bring decimals as text; a float has lost its digits already. Raises as Decimal does."""
    if isinstance(value, float):
        raise TypeError("a floating-point number")
    return Decimal(value)


def _driver() -> Any:
    try:
        import pyodbc
    except ImportError as error:
        raise SourceError(
            "SF_SOURCE=warehouse needs pyodbc and an ODBC driver: install the extra `odbc` and Microsoft's driver 18."
        ) from error
    return pyodbc

"""Column types that mean the same on both dialects.

SQLite stores anything in anything; these types hold it to what SQL Server would do, so that a value that is refused in
production is refused on a laptop too.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import DateTime, Dialect, Numeric, String, Unicode, UnicodeText
from sqlalchemy.dialects import mssql
from sqlalchemy.types import TypeDecorator, TypeEngine


def _encoded(text: str) -> bytes:
    """In UTF-16. Raises ValueError for what not every database takes: a NUL, or half of a surrogate pair."""
    if "\0" in text:
        raise ValueError("text with a NUL cannot be stored")
    return text.encode("utf-16-le")


class UtcDateTime(TypeDecorator[datetime]):
    """An instant to the microsecond: `datetime2(6)` holding UTC, zone-aware in Python."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column\'s type in this dialect."""
        if dialect.name != "mssql":
            return dialect.type_descriptor(DateTime())
        return dialect.type_descriptor(mssql.DATETIME2(6))  # type: ignore[no-untyped-call]  # SQLAlchemy's gap

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From Python to the driver; raises ValueError for what the column cannot hold."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the driver to Python."""
        return None if value is None else value.replace(tzinfo=UTC)


class Percent(TypeDecorator[Decimal]):
    """A rate in per cent, exact to four decimals (half up): `decimal(7, 4)`; text on SQLite, which has no decimals."""

    impl = Numeric(7, 4)
    cache_ok = True
    _quantum = Decimal("0.0001")

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column\'s type in this dialect."""
        return dialect.type_descriptor(Numeric(7, 4) if dialect.name == "mssql" else String(9))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """From Python to the driver; raises ValueError for what the column cannot hold."""
        if value is None:
            return None
        exact = value.quantize(self._quantum, ROUND_HALF_UP)
        if abs(exact) >= 1000:
            raise ValueError("a rate in per cent has at most three digits before the point")
        return exact if dialect.name == "mssql" else str(exact)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """From the driver to Python."""
        return None if value is None else Decimal(value)


class ShortText(TypeDecorator[str]):
    """`nvarchar(n)`; longer text is refused instead of cut."""

    impl = Unicode
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """From Python to the driver; raises ValueError for what the column cannot hold."""
        # nvarchar(n) counts UTF-16 units.
        if value is not None and len(_encoded(value)) > 2 * self.length:
            raise ValueError(f"text of {len(value)} characters is longer than the column's {self.length}")
        return value


class LongText(TypeDecorator[str]):
    """`nvarchar(max)`."""

    impl = UnicodeText
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column\'s type in this dialect."""
        return dialect.type_descriptor(mssql.NVARCHAR(None) if dialect.name == "mssql" else UnicodeText())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """From Python to the driver; raises ValueError for what the column cannot hold."""
        if value is not None:
            _encoded(value)
        return value


class JsonText(TypeDecorator[dict[str, Any]]):
    """A JSON object in `nvarchar(max)`, keys sorted; absent is the empty object."""

    impl = LongText
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:
        """From Python to the driver; raises ValueError for what the column cannot hold."""
        if not value:
            return None
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        try:
            _encoded(text)
        except UnicodeEncodeError:  # half of a surrogate pair, which can be stored as an escape
            text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return text

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any]:
        """From the driver to Python."""
        return json.loads(value) if value else {}

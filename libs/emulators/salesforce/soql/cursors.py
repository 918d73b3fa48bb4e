"""Runs queries and hands out their results page by page.

The first page fixes which records a result holds and in which order (their numbers, 8 bytes each); the values are read
when a page is. The newest ten results stay open, in memory.
"""

from __future__ import annotations

import sqlite3
import threading
from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from libs.emulators.salesforce.database import Database
from libs.emulators.salesforce.errors import ApiError
from libs.emulators.salesforce.ids import IdCodec
from libs.emulators.salesforce.schema import Schema
from libs.emulators.salesforce.soql.compiler import Compiled, compile_query
from libs.emulators.salesforce.soql.parser import parse
from libs.emulators.salesforce.soql.syntax import SoqlError

PAGE_ROWS = 2_000
MIN_PAGE_ROWS = 200
_OPEN_CURSORS = 10


@dataclass(frozen=True, slots=True)
class _Cursor:
    id: str
    compiled: Compiled
    sequences: array[int]
    page_rows: int


class Cursors:
    """The open query results of the org. Blocking; safe to use from several threads."""

    def __init__(self, database: Database, schema: Schema) -> None:
        self._database = database
        self._schema = schema
        self._open: OrderedDict[str, _Cursor] = OrderedDict()
        self._lock = threading.Lock()
        self._ids = IdCodec("0r8")
        self._made = 0

    def query(self, soql: str, base: str, *, with_deleted: bool, page_rows: int = PAGE_ROWS) -> dict[str, Any]:
        """Run a query and return its first page; ``base`` begins the addresses in it. Raises ApiError 400."""
        try:
            compiled = compile_query(parse(soql), self._schema, with_deleted=with_deleted)
        except SoqlError as error:
            raise ApiError(400, error.code, f"{error.message}\nin query: {soql}") from error
        with self._database.reading() as connection:
            rows = connection.execute(compiled.rows_sql, compiled.parameters)
            if compiled.counts_only:
                return {"totalSize": rows.fetchone()[0], "done": True, "records": []}
            if compiled.aggregates:
                records = [_record(compiled, "AggregateResult", None, row) for row in rows]
                return {"totalSize": len(records), "done": True, "records": records}
            sequences = array("q", (row[0] for row in rows))
            cursor = self._keep(compiled, sequences, min(max(page_rows, MIN_PAGE_ROWS), PAGE_ROWS))
            return self._page(connection, cursor, 0, base)

    def more(self, locator: str, base: str) -> dict[str, Any]:
        """Return the page that a ``nextRecordsUrl`` names. Raises ApiError INVALID_QUERY_LOCATOR."""
        cursor_id, _, start = locator.rpartition("-")
        with self._lock:
            cursor = self._open.get(cursor_id)
        if cursor is None or not start.isdigit():
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        with self._database.reading() as connection:
            return self._page(connection, cursor, int(start), base)

    def _keep(self, compiled: Compiled, sequences: array[int], page_rows: int) -> _Cursor:
        with self._lock:
            self._made += 1
            cursor = _Cursor(self._ids.encode(self._made), compiled, sequences, page_rows)
            if len(sequences) > page_rows:
                self._open[cursor.id] = cursor
            while len(self._open) > _OPEN_CURSORS:
                self._open.popitem(last=False)
        return cursor

    def _page(self, connection: sqlite3.Connection, cursor: _Cursor, start: int, base: str) -> dict[str, Any]:
        compiled = cursor.compiled
        end = start + cursor.page_rows
        wanted = cursor.sequences[start:end]
        marks = ", ".join("?" * len(wanted))
        columns = ", ".join(("seq", *compiled.columns))
        sql = f"SELECT {columns} FROM {compiled.object.table} WHERE seq IN ({marks})"
        rows = {row[0]: row[1:] for row in connection.execute(sql, wanted)}
        url = f"{base}/sobjects/{compiled.object.name}/"
        page: dict[str, Any] = {
            "totalSize": len(cursor.sequences),
            "done": end >= len(cursor.sequences),
            "records": [
                _record(compiled, compiled.object.name, url + compiled.object.ids.encode(sequence), rows[sequence])
                for sequence in wanted
            ],
        }
        if not page["done"]:
            page["nextRecordsUrl"] = f"{base}/query/{cursor.id}-{end}"
        return page


def _record(compiled: Compiled, type_name: str, url: str | None, row: tuple[Any, ...]) -> dict[str, Any]:
    attributes = {"type": type_name} if url is None else {"type": type_name, "url": url}
    values = {name: render(value) for (name, render), value in zip(compiled.outputs, row, strict=True)}
    return {"attributes": attributes, **values}

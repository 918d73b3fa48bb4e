"""The SQL statements that read and change one object's table."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from libs.emulators.salesforce.errors import RowFailure
from libs.emulators.salesforce.schema import Field, SObject
from libs.emulators.salesforce.values import Stored


def fold(value: Stored) -> Stored:
    """Fold case as SQLite's NOCASE collation does: ASCII letters only."""
    if not isinstance(value, str):
        return value
    return value.lower() if value.isascii() else "".join(char.lower() if char.isascii() else char for char in value)


class RecordTable:
    """Changes one object's table inside the caller's transaction.

    Every call returns, by the caller's row index, the record's sequence number or why it was refused.
    """

    def __init__(self, connection: sqlite3.Connection, one: SObject, now: str) -> None:
        self._connection = connection
        self._object = one
        self._now = now
        newest = connection.execute(f"SELECT COALESCE(MAX(seq), 0) FROM {one.table}").fetchone()
        self._next = int(newest[0]) + 1
        self._unique = tuple(field for field in one.fields if field.unique)

    def find(self, field: Field, values: Sequence[Stored]) -> list[tuple[Stored, int]]:
        """Find live records by a field's value: pairs of the value as stored and the sequence number."""
        marks = ", ".join("?" * len(values))
        sql = (
            f"SELECT {field.column}, seq FROM {self._object.table} WHERE {field.column} IN ({marks}) AND IsDeleted = 0"
        )
        return self._connection.execute(sql, values).fetchall()

    def insert(self, rows: Mapping[int, Mapping[str, Stored]]) -> dict[int, int | RowFailure]:
        """Make new records; a field that a row lacks is null or has its default."""
        results: dict[int, int | RowFailure] = {}
        groups: dict[tuple[str, ...], list[int]] = {}
        for index, changes in rows.items():
            groups.setdefault(tuple(changes), []).append(index)
        for names, indexes in groups.items():
            system = ["seq", "CreatedDate", "LastModifiedDate"] + ["Name"] * bool(self._object.name_format)
            columns = ", ".join(f'"{name}"' for name in (*system, *names))
            marks = ", ".join("?" * (len(system) + len(names)))
            sql = f"INSERT INTO {self._object.table} ({columns}) VALUES ({marks})"
            parameters = {}
            for index in indexes:
                sequence = self._next
                self._next += 1
                name = (self._object.name_format.format(sequence),) if self._object.name_format else ()
                parameters[index] = (sequence, self._now, self._now, *name, *rows[index].values())
                results[index] = sequence
            self._execute(sql, parameters, rows, results)
        return results

    def update(
        self, names: tuple[str, ...], rows: Mapping[int, tuple[int, Mapping[str, Stored]]]
    ) -> dict[int, int | RowFailure]:
        """Set the fields ``names`` of records that all carry them: index → (sequence, changes)."""
        assignments = "".join(f', "{name}" = ?' for name in names)
        sql = f'UPDATE {self._object.table} SET "LastModifiedDate" = ?{assignments} WHERE seq = ?'
        results: dict[int, int | RowFailure] = {index: sequence for index, (sequence, _) in rows.items()}
        parameters = {
            index: (self._now, *(changes[name] for name in names), sequence)
            for index, (sequence, changes) in rows.items()
        }
        self._execute(sql, parameters, {index: changes for index, (_, changes) in rows.items()}, results)
        return results

    def delete(self, sequences: Sequence[int]) -> None:
        """Move records to the recycle bin, where only queryAll sees them."""
        sql = f'UPDATE {self._object.table} SET IsDeleted = 1, "LastModifiedDate" = ? WHERE seq = ?'
        self._connection.executemany(sql, [(self._now, sequence) for sequence in sequences])

    def _execute(
        self,
        sql: str,
        parameters: Mapping[int, tuple[Stored, ...]],
        rows: Mapping[int, Mapping[str, Stored]],
        results: dict[int, int | RowFailure],
    ) -> None:
        """Run the statement for all rows; if one breaks a unique index, row by row, to find which."""
        self._connection.execute("SAVEPOINT rows")
        try:
            self._connection.executemany(sql, parameters.values())
        except sqlite3.IntegrityError:
            self._connection.execute("ROLLBACK TO rows")
            for index, values in parameters.items():
                try:
                    self._connection.execute(sql, values)
                except sqlite3.IntegrityError:
                    results[index] = self._duplicate(rows[index])
        finally:
            self._connection.execute("RELEASE rows")

    def _duplicate(self, changes: Mapping[str, Stored]) -> RowFailure:
        for field in self._unique:
            value = changes.get(field.name)
            holder = next(iter(self.find(field, [value])), None) if value is not None else None
            if holder is not None:
                held_by = self._object.ids.encode(holder[1])
                message = f"duplicate value found: {field.name} duplicates value on record with id: {held_by}"
                return RowFailure("DUPLICATE_VALUE", message, (field.name,))
        return RowFailure(
            "DUPLICATE_VALUE", "duplicate value found: <unknown> duplicates value on record with id: <unknown>"
        )

"""Saving records: insert, update, upsert and delete in chunks of 200, each record with its own outcome.

Salesforce works through every call and every bulk batch in chunks of 200 records. Records that share an external id
are all refused inside one chunk, and are an insert and then an update across chunks. So here.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from libs.emulators.salesforce.errors import RowFailure
from libs.emulators.salesforce.faults import FaultBoard
from libs.emulators.salesforce.record_table import RecordTable, fold
from libs.emulators.salesforce.schema import Field, SObject
from libs.emulators.salesforce.values import Stored

CHUNK_ROWS = 200
Operation = Literal["insert", "update", "upsert", "delete"]
Changes = dict[str, Stored]
"""Field name → stored value of one record; None sets null, an absent field stays as it is."""


class Incoming(NamedTuple):
    """One record as sent; ``failure`` when a value could not be converted."""

    changes: Changes
    failure: RowFailure | None = None


class Saved(NamedTuple):
    """The record was saved (or deleted): its sequence number, and whether it is new."""

    sequence: int
    created: bool


Outcome = Saved | RowFailure


class RecordWriter:
    """Saves records of one object inside the caller's transaction.

    ``match`` is the field that finds the record of an upsert (an external id field, or Id); update and delete find it
    by Id. ``now`` is the time to write, as Salesforce text.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        one: SObject,
        operation: Operation,
        *,
        match: Field | None,
        faults: FaultBoard,
        now: str,
    ) -> None:
        self._connection = connection
        self._object = one
        self._operation = operation
        self._match = {"upsert": match, "insert": None}.get(operation, one.field("Id"))
        self._faults = faults
        self._table = RecordTable(connection, one, now)
        self._required = tuple(field.name for field in one.fields if field.required)
        self._external = tuple(field.name for field in one.fields if field.external_id)
        self._unwritable: dict[tuple[str, ...], tuple[RowFailure | None, RowFailure | None]] = {}

    def save(self, rows: Sequence[Incoming]) -> list[Outcome]:
        """Save the rows chunk by chunk; the outcomes come in the order of the rows."""
        outcomes: list[Outcome] = []
        for start in range(0, len(rows), CHUNK_ROWS):
            outcomes.extend(self._save_chunk(rows[start : start + CHUNK_ROWS]))
        return outcomes

    def _save_chunk(self, rows: Sequence[Incoming]) -> list[Outcome]:
        self._count_attempts(rows)
        repeated = self._repeated_keys(rows)
        outcomes: dict[int, Outcome] = {}
        accepted: dict[int, Changes] = {}
        for index, row in enumerate(rows):
            failure = row.failure or self._refusal(row.changes, repeated)
            if failure is None:
                accepted[index] = row.changes
            else:
                outcomes[index] = failure
        found = self._find(accepted.values())
        inserts: dict[int, Changes] = {}
        updates: dict[tuple[str, ...], dict[int, tuple[int, Changes]]] = {}
        for index, changes in accepted.items():
            target = self._target(changes, found)
            failure = target if isinstance(target, RowFailure) else self._field_failure(changes, new=target is None)
            if failure is not None:
                outcomes[index] = failure
            elif isinstance(target, int):
                names = tuple(name for name in changes if self._match is None or name != self._match.name)
                updates.setdefault(names, {})[index] = (target, changes)
            else:
                inserts[index] = changes
        if self._operation == "delete":
            self._delete(updates, outcomes)
        else:
            for index, result in self._table.insert(inserts).items():
                outcomes[index] = Saved(result, created=True) if isinstance(result, int) else result
            for names, group in updates.items():
                for index, result in self._table.update(names, group).items():
                    outcomes[index] = Saved(result, created=False) if isinstance(result, int) else result
        return [outcomes[index] for index in range(len(rows))]

    def _delete(
        self, targets: dict[tuple[str, ...], dict[int, tuple[int, Changes]]], outcomes: dict[int, Outcome]
    ) -> None:
        for group in targets.values():
            self._table.delete([sequence for sequence, _ in group.values()])
            outcomes.update({index: Saved(sequence, created=False) for index, (sequence, _) in group.items()})

    def _key(self, changes: Changes) -> Stored:
        """The value that finds the record, with case folded unless the field minds it."""
        if self._match is None:
            return None
        value = changes.get(self._match.name)
        return value if self._match.case_sensitive else fold(value)

    def _count_attempts(self, rows: Sequence[Incoming]) -> None:
        keys = [
            (self._object.name, str(changes[name]))
            for name in self._external
            for changes, _ in rows
            if changes.get(name) is not None
        ]
        self._connection.executemany(
            "INSERT INTO attempt VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1", keys
        )

    def _repeated_keys(self, rows: Sequence[Incoming]) -> frozenset[Stored]:
        keys = [self._key(changes) for changes, _ in rows] if self._match is not None else []
        if len(set(keys)) == len(keys):
            return frozenset()
        return frozenset(key for key, times in Counter(keys).items() if times > 1 and key is not None)

    def _refusal(self, changes: Changes, repeated: frozenset[Stored]) -> RowFailure | None:
        if self._match is not None:
            name = self._match.name
            value = changes.get(name)
            if value is None and not (name == "Id" and self._operation == "upsert"):
                return RowFailure("MISSING_ARGUMENT", f"{name} not specified")
            if repeated and self._key(changes) in repeated:
                shown = self._object.ids.encode(int(value)) if name == "Id" and value is not None else value
                return RowFailure("DUPLICATE_VALUE", f"Duplicate external id specified: {shown}", (name,))
        if not self._faults.rows_armed:
            return None
        external = next((str(changes[name]) for name in self._external if changes.get(name) is not None), "")
        return self._faults.row_failure(external)

    def _find(self, rows: Iterable[Changes]) -> dict[Stored, list[int]]:
        if self._match is None:
            return {}
        name = self._match.name
        values = [changes[name] for changes in rows if changes.get(name) is not None]
        found: dict[Stored, list[int]] = {}
        for value, sequence in self._table.find(self._match, values):
            found.setdefault(value if self._match.case_sensitive else fold(value), []).append(sequence)
        return found

    def _target(self, changes: Changes, found: dict[Stored, list[int]]) -> int | RowFailure | None:
        """The record to change, None to make one, or why neither is possible."""
        key = self._key(changes)
        if self._match is None or key is None:
            return None
        sequences = found.get(key, [])
        if len(sequences) > 1:
            shown = ", ".join(self._object.ids.encode(sequence) for sequence in sequences)
            return RowFailure("DUPLICATE_EXTERNAL_ID", f"{self._match.name}: more than one record found: [{shown}]")
        if not sequences and self._match.name == "Id":
            return RowFailure("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return sequences[0] if sequences else None

    def _field_failure(self, changes: Changes, *, new: bool) -> RowFailure | None:
        """Refuse read-only fields and missing required ones."""
        if self._operation == "delete":
            return None
        names = tuple(changes)
        cached = self._unwritable.get(names)
        if cached is None:
            cached = (self._read_only(names, new=False), self._read_only(names, new=True))
            self._unwritable[names] = cached
        if cached[new] is not None:
            return cached[new]
        if new:
            missing = [name for name in self._required if changes.get(name) is None]
        else:
            missing = [name for name in self._required if name in changes and changes[name] is None]
        if missing:
            listed = ", ".join(missing)
            return RowFailure("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{listed}]", tuple(missing))
        return None

    def _read_only(self, names: tuple[str, ...], *, new: bool) -> RowFailure | None:
        matched = self._match.name if self._match is not None else None
        fields = [field for field in self._object.fields if field.name in names and field.name != matched]
        refused = tuple(field.name for field in fields if not (field.createable if new else field.updateable))
        if not refused:
            return None
        message = (
            f"Unable to create/update fields: {', '.join(refused)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set."
        )
        return RowFailure("INVALID_FIELD_FOR_INSERT_UPDATE", message, refused)

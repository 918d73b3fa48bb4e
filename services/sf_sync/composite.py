"""The Collections API: up to 200 rows a call, outcomes in the answer. For few rows it is cheaper than a job."""

from typing import Any, Final

import msgspec

from services.sf_sync.mapping import Format, NullPolicy, ResolvedField, ResolvedMapping
from services.sf_sync.outcomes import RowError, Status, row_error
from services.sf_sync.session import SalesforceSession

MAX_ROWS: Final = 200
"""Rows that one call takes (REST API guide, sObject Collections)."""


def is_cheaper(rows: int, *, rows_per_send: int, below: int) -> bool:
    """Whether calls take fewer of the org's allowances than jobs; `below` is SF_COLLECTIONS_BELOW.

    A job of no more rows than a call takes costs a batch and about ten calls, however many such jobs there are.
    """
    return rows < below or (below > 0 and rows_per_send <= MAX_ROWS)


class RowOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row."""

    status: Status
    created: bool = False
    salesforce_id: str | None = None
    error: RowError | None = None


def upsert(session: SalesforceSession, mapping: ResolvedMapping, rows: list[dict[str, str | None]]) -> list[RowOutcome]:
    """Upsert at most 200 canonical rows (field → text), each for itself; one outcome a row, in the rows' order.

    Salesforce answers in the order of the request, which is the only way to tell whose outcome is whose. Blocks; raises
    what `SalesforceSession` raises.
    """
    body = {"allOrNone": False, "records": [_record(row, mapping) for row in rows]}
    answer = session.request(
        "PATCH",
        f"composite/sobjects/{mapping.object}/{mapping.external_id}",
        data=msgspec.json.encode(body),
        headers={"Content-Type": "application/json"},
    )
    return [_outcome(result) for result in answer.json()]


def _record(row: dict[str, str | None], mapping: ResolvedMapping) -> dict[str, Any]:
    record: dict[str, Any] = {"attributes": {"type": mapping.object}}
    for field in mapping.fields:
        text = row[field.field]
        if text is not None:
            record[field.field] = _json_value(text, field)
        elif field.on_null is NullPolicy.CLEAR:
            record[field.field] = None
    return record


def _json_value(text: str, field: ResolvedField) -> object:
    if field.format is Format.NUMBER:
        return msgspec.Raw(text.encode())  # digit for digit, no float in between
    return text == "true" if field.format is Format.BOOLEAN else text


def _outcome(result: dict[str, Any]) -> RowOutcome:
    if result["success"]:
        return RowOutcome(status=Status.ACCEPTED, created=bool(result.get("created")), salesforce_id=result.get("id"))
    first = (result.get("errors") or [{}])[0]
    error = row_error(str(first.get("statusCode", "UNKNOWN_ERROR")), str(first.get("message", "")))
    return RowOutcome(status=Status.REJECTED, error=error)

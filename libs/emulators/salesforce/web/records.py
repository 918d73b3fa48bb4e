"""Single records and the Collections API (up to 200 records a call)."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from libs.emulators.salesforce.errors import ApiError, RowFailure, RowRefused, not_found
from libs.emulators.salesforce.org import Org
from libs.emulators.salesforce.record_table import RecordTable
from libs.emulators.salesforce.records import CHUNK_ROWS, Incoming, Operation, Outcome, RecordWriter
from libs.emulators.salesforce.schema import Field, SObject
from libs.emulators.salesforce.values import WrongType, converter, from_json, json_renderer
from libs.emulators.salesforce.web.metadata import sobject
from libs.emulators.salesforce.web.responses import ORG, json_response, read_json, version_base


class _Collection(msgspec.Struct, rename="camel"):
    records: list[dict[str, Any]]
    all_or_none: bool = False


class _RolledBack(Exception):
    """One record failed and the caller wanted all or none."""


async def create(request: web.Request) -> web.Response:
    """Answer ``POST …/sobjects/{object}``."""
    version_base(request)
    one = sobject(request)
    outcome = (await _save(request.app[ORG], one, "insert", [await read_json(request)]))[0]
    return json_response(_result(one, outcome), status=201)


async def change(request: web.Request) -> web.Response:
    """Answer PATCH and DELETE of ``…/sobjects/{object}/{id}``."""
    version_base(request)
    one = sobject(request)
    operation: Operation = "delete" if request.method == "DELETE" else "update"
    body = {} if operation == "delete" else await read_json(request)
    if "Id" in body:
        raise ApiError(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
    await _save(request.app[ORG], one, operation, [{**body, "Id": request.match_info["id"]}])
    return web.Response(status=204)


async def upsert(request: web.Request) -> web.Response:
    """Answer ``PATCH …/sobjects/{object}/{external id field}/{value}``: 201 for a new record, 200 for a changed one."""
    version_base(request)
    one = sobject(request)
    match = external_id_field(one, request.match_info["field"])
    body = await read_json(request)
    if match.name in body:
        message = f"The {match.name} field should not be specified in the sobject data."
        raise ApiError(400, "INVALID_FIELD", message)
    record = {match.name: request.match_info["value"], **body}
    outcome = (await _save(request.app[ORG], one, "upsert", [record], match=match))[0]
    result = _result(one, outcome)
    return json_response(result, status=201 if result["created"] else 200)


async def read(request: web.Request) -> web.Response:
    """Answer ``GET …/sobjects/{object}/{id}`` and ``…/{external id field}/{value}``."""
    base = version_base(request)
    org, one = request.app[ORG], sobject(request)
    match = external_id_field(one, request.match_info.get("field", "Id"))
    text = request.match_info.get("value") or request.match_info["id"]
    wanted = request.query.get("fields")
    fields = [_field(one, name.strip()) for name in wanted.split(",")] if wanted else list(one.fields)
    record = await org.read(_read_record, org, one, match, text, fields)
    url = f"{base}/sobjects/{one.name}/{record['Id']}"
    return json_response({"attributes": {"type": one.name, "url": url}, **record})


def _read_record(org: Org, one: SObject, match: Field, text: str, fields: list[Field]) -> dict[str, Any]:
    try:
        value = converter(match, one.ids)(text)
    except (WrongType, RowRefused) as error:
        raise not_found() from error
    with org.database.reading() as connection:
        found = RecordTable(connection, one, org.now()).find(match, [value])
        if not found:
            raise not_found()
        columns = ", ".join(field.column for field in fields)
        row = connection.execute(f"SELECT {columns} FROM {one.table} WHERE seq = ?", (found[0][1],)).fetchone()
    rendered = {field.name: json_renderer(field, one.ids)(value) for field, value in zip(fields, row, strict=True)}
    return {"Id": one.ids.encode(found[0][1]), **rendered}


async def collection_upsert(request: web.Request) -> web.Response:
    """Answer ``PATCH …/composite/sobjects/{object}/{external id field}``."""
    version_base(request)
    one = sobject(request)
    match = external_id_field(one, request.match_info["field"])
    return await _collection(request, "upsert", match=match, only=one)


async def collection_save(request: web.Request) -> web.Response:
    """Answer POST (insert) and PATCH (update by id) of ``…/composite/sobjects``."""
    version_base(request)
    return await _collection(request, "insert" if request.method == "POST" else "update")


async def _collection(
    request: web.Request, operation: Operation, *, match: Field | None = None, only: SObject | None = None
) -> web.Response:
    body: _Collection = await read_json(request, _Collection)
    if len(body.records) > CHUNK_ROWS:
        message = f"record limit reached. cannot submit more than {CHUNK_ROWS} records in this call"
        raise ApiError(400, "INVALID_INPUT", message)
    names = {str((record.get("attributes") or {}).get("type", "")) for record in body.records} - {""}
    found = only or (request.app[ORG].schema.find(next(iter(names))) if len(names) == 1 else None)
    if found is None or any(name.lower() != found.name.lower() for name in names):
        raise ApiError(400, "INVALID_INPUT", "Every record must name one and the same known object in attributes.type")
    outcomes = await _save(
        request.app[ORG], found, operation, body.records, match=match, each=True, all_or_none=body.all_or_none
    )
    return json_response([_result(found, outcome) for outcome in outcomes])


def external_id_field(one: SObject, name: str) -> Field:
    """The field that finds records. Raises ApiError 404 unless it is an external id or Id."""
    field = one.field(name)
    if field is None or not (field.external_id or field.name == "Id"):
        message = f"Provided external ID field does not exist or is not accessible: {name}"
        raise ApiError(404, "NOT_FOUND", message)
    return field


def _field(one: SObject, name: str) -> Field:
    field = one.field(name)
    if field is None:
        raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {one.name}")
    return field


async def _save(
    org: Org,
    one: SObject,
    operation: Operation,
    records: list[dict[str, Any]],
    *,
    match: Field | None = None,
    each: bool = False,
    all_or_none: bool = False,
) -> list[Outcome]:
    """Save the records; ``each`` False raises the first record's failure as an ApiError."""
    incoming = [_incoming(one, record) for record in records]
    outcomes = await org.write(_save_all, org, one, operation, incoming, match, all_or_none)
    first = outcomes[0] if outcomes and not each else None
    if isinstance(first, RowFailure):
        status = 404 if first.code in ("INVALID_CROSS_REFERENCE_KEY", "MALFORMED_ID") else 400
        raise ApiError(status, first.code, first.message, fields=first.fields)
    return outcomes


def _save_all(
    org: Org, one: SObject, operation: Operation, rows: list[Incoming], match: Field | None, all_or_none: bool
) -> list[Outcome]:
    failure = org.faults.batch_failure(len(rows))
    if failure is not None:
        return [failure] * len(rows)
    outcomes: list[Outcome] = []
    try:
        with org.database.writing() as connection:
            writer = RecordWriter(connection, one, operation, match=match, faults=org.faults, now=org.now())
            outcomes = writer.save(rows)
            if all_or_none and any(isinstance(outcome, RowFailure) for outcome in outcomes):
                raise _RolledBack  # noqa: TRY301 - the exception is what rolls the transaction back
    except _RolledBack:
        undone = RowFailure(
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "Record rolled back because not all records were valid and the request was using AllOrNone header",
        )
        return [outcome if isinstance(outcome, RowFailure) else undone for outcome in outcomes]
    return outcomes


def _incoming(one: SObject, record: dict[str, Any]) -> Incoming:
    """Convert one JSON record. Raises ApiError where Salesforce refuses the whole request."""
    changes = {}
    failure: RowFailure | None = None
    for name, value in record.items():
        if name == "attributes":
            continue
        field = _field(one, "Id" if name == "id" else name)
        try:
            changes[field.name] = from_json(converter(field, one.ids), value)
        except RowRefused as refused:
            failure = failure or refused.failure
        except WrongType as error:
            message = f"Cannot deserialize instance of {field.type} from value {value!r} of field {field.name}"
            raise ApiError(400, "JSON_PARSER_ERROR", message, fields=(field.name,)) from error
    return Incoming(changes, failure)


def _result(one: SObject, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, RowFailure):
        error = {"statusCode": outcome.code, "message": outcome.message, "fields": list(outcome.fields)}
        return {"success": False, "errors": [error]}
    return {"id": one.ids.encode(outcome.sequence), "success": True, "errors": [], "created": outcome.created}

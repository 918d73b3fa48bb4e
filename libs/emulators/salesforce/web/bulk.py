"""The ingest jobs of Bulk API 2.0."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, BinaryIO

import msgspec
from aiohttp import web

from libs.emulators.salesforce.bulk.csv_records import DELIMITERS, LINE_ENDINGS
from libs.emulators.salesforce.bulk.jobs import ENDED, UPLOAD_COMPLETE
from libs.emulators.salesforce.bulk.results import ResultSet, altered, result_chunks
from libs.emulators.salesforce.bulk.runner import JobRunner
from libs.emulators.salesforce.errors import ApiError, not_found
from libs.emulators.salesforce.faults import DroppedConnection, GzipResults, ResultPages, WrongResults
from libs.emulators.salesforce.web.gate import cut
from libs.emulators.salesforce.web.responses import ORG, json_response, read_json, version_base
from libs.emulators.salesforce.web.streaming import stream

log = logging.getLogger(__name__)
RUNNER = web.AppKey("runner", JobRunner)
MAX_UPLOAD_BYTES = 150_000_000
"""Salesforce's limit for the data of one job: 150 MB."""
_OPERATIONS = ("insert", "update", "upsert", "delete")
_BUFFER_BYTES = 1 << 20
_LIST_ROWS = 1_000


class _NewJob(msgspec.Struct, rename="camel"):
    object: str
    operation: str
    external_id_field_name: str | None = None
    content_type: str = "CSV"
    line_ending: str = "LF"
    column_delimiter: str = "COMMA"


async def create(request: web.Request) -> web.Response:
    """Answer ``POST …/jobs/ingest``."""
    version_base(request)
    org = request.app[ORG]
    body: _NewJob = await read_json(request, _NewJob)
    one = org.schema.find(body.object)
    if one is None:
        message = f"InvalidEntity : Entity '{body.object}' is not supported by Bulk API or does not exist"
        raise ApiError(400, "INVALIDENTITY", message)
    for name, value, known in (
        ("operation", body.operation, _OPERATIONS),
        ("contentType", body.content_type, ("CSV",)),
        ("lineEnding", body.line_ending, tuple(LINE_ENDINGS)),
        ("columnDelimiter", body.column_delimiter, tuple(DELIMITERS)),
    ):
        if value not in known:
            raise ApiError(400, "INVALIDJOB", f"InvalidJob : {name} must be one of {', '.join(known)}, not {value!r}")
    match = one.field(body.external_id_field_name or "")
    if body.operation == "upsert" and not body.external_id_field_name:
        message = f"InvalidJob : External ID was blank for {one.name}. An External ID must be specified for upsert."
        raise ApiError(400, "INVALIDJOB", message)
    if body.operation == "upsert" and (match is None or not (match.external_id or match.name == "Id")):
        message = (
            f"InvalidJob : Field name provided, {body.external_id_field_name} does not match an External ID, "
            f"Salesforce Id, or indexed field for {one.name}"
        )
        raise ApiError(400, "INVALIDJOB", message)
    job = await org.write(
        org.jobs.create,
        org.now(),
        object=one.name,
        operation=body.operation,
        external_id_field=match.name if match is not None and body.operation == "upsert" else None,
        line_ending=body.line_ending,
        column_delimiter=body.column_delimiter,
        api_version=request.match_info["version"],
    )
    return json_response(job.rendered())


async def upload(request: web.Request) -> web.Response:
    """Answer ``PUT …/jobs/ingest/{id}/batches``: one CSV a job, streamed to disk."""
    version_base(request)
    org = request.app[ORG]
    job = await org.read(org.jobs.get, request.match_info["job"])
    org.jobs.require_open_for_upload(job)
    if "csv" not in request.content_type:
        raise ApiError(400, "INVALIDCONTENTTYPE", f"Content-Type must be text/csv, not {request.content_type}")
    path = org.jobs.upload_path(job.id)
    partial = path.with_suffix(f".{id(request)}.part")
    fault = org.faults.take(DroppedConnection, "job_upload", when="during")
    try:
        file = await org.read(partial.open, "wb")
        try:
            size = await _receive(request, file, fault)
        finally:
            await org.read(file.close)
        if size == 0:
            raise ApiError(400, "CLIENTINPUTERROR", "The upload is empty")
        await org.read(partial.replace, path)
        await org.write(org.jobs.uploaded, job.id, size, org.now())
    finally:
        partial.unlink(missing_ok=True)
    return web.Response(status=201)


async def _receive(request: web.Request, file: BinaryIO, fault: DroppedConnection | None) -> int:
    org = request.app[ORG]
    size = 0
    async for chunk in request.content.iter_chunked(_BUFFER_BYTES):
        size += len(chunk)
        if size > MAX_UPLOAD_BYTES:
            raise ApiError(413, "FILE_SIZE_LIMIT_EXCEEDED", f"Maximum file size exceeded: {MAX_UPLOAD_BYTES} bytes")
        if fault is not None and size >= fault.after_bytes:
            raise cut(request)
        await org.read(file.write, chunk)
    return size


async def change_state(request: web.Request) -> web.Response:
    """Answer ``PATCH …/jobs/ingest/{id}`` with state UploadComplete or Aborted."""
    version_base(request)
    org = request.app[ORG]
    state = str((await read_json(request)).get("state", ""))
    job = await org.write(org.jobs.change_state, request.match_info["job"], state, org.now())
    if job.state == UPLOAD_COMPLETE:
        request.app[RUNNER].start(job)
    return json_response(job.rendered())


async def poll(request: web.Request) -> web.Response:
    """Answer ``GET …/jobs/ingest/{id}``."""
    version_base(request)
    org = request.app[ORG]
    job = await org.read(org.jobs.get, request.match_info["job"])
    return json_response(job.rendered(details=True))


async def list_jobs(request: web.Request) -> web.Response:
    """Answer ``GET …/jobs/ingest``, oldest first, up to 1,000 a page."""
    base = version_base(request)
    org = request.app[ORG]
    locator = request.query.get("queryLocator", "0")
    if not locator.isdigit():
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    jobs = await org.read(org.jobs.page, int(locator), _LIST_ROWS)
    done = len(jobs) < _LIST_ROWS
    following = None if done else f"{base}/jobs/ingest?queryLocator={jobs[-1][0]}"
    records: list[dict[str, Any]] = [{**job.rendered(), "jobType": "V2Ingest"} for _, job in jobs]
    return json_response({"done": done, "nextRecordsUrl": following, "records": records})


async def delete(request: web.Request) -> web.Response:
    """Answer ``DELETE …/jobs/ingest/{id}`` of a job that has ended."""
    version_base(request)
    org = request.app[ORG]
    await org.write(org.jobs.delete, request.match_info["job"])
    return web.Response(status=204)


async def results(request: web.Request) -> web.StreamResponse:
    """Answer GET of one of the three result sets of a job that has ended, streamed."""
    version_base(request)
    org = request.app[ORG]
    job = await org.read(org.jobs.get, request.match_info["job"])
    one = org.schema.find(job.object)
    which: ResultSet | None = {
        "successfulresults": "successfulResults",
        "failedresults": "failedResults",
        "unprocessedrecords": "unprocessedrecords",
    }.get(request.match_info["results"].lower())  # type: ignore[assignment] # the three literals above
    if which is None or one is None:
        raise not_found()
    if job.state not in ENDED:
        raise ApiError(400, "INVALIDJOBSTATE", f"Results are there when the job has ended; its state is {job.state}")
    chunks = result_chunks(job, one, which, database=org.database, jobs=org.jobs)
    wrong = org.faults.take(WrongResults, which=which)
    if wrong is not None:
        chunks = iter([await org.read(altered, job, chunks, partial(_spoilt, wrong))])
    headers = {}
    pages = org.faults.take(ResultPages)
    if pages is not None:
        page = _Page(int(request.query.get("locator", "0")), pages.rows)
        chunks = iter([await org.read(altered, job, chunks, page.cut)])
        headers = {"Sforce-Locator": page.following, "Sforce-NumberOfRecords": str(page.held)}
    fault = org.faults.take(DroppedConnection, "job_results", when="during")
    gzip = org.faults.take(GzipResults) is not None
    return await stream(request, chunks, content_type="text/csv", headers=headers, fault=fault, gzip=gzip)


def _spoilt(fault: WrongResults, rows: list[list[str]]) -> list[list[str]]:
    kept = rows[: max(0, len(rows) - fault.lost)]
    return kept + kept[:1] * (len(rows) - len(kept)) if fault.repeated else kept


class _Page:
    """One page of a result set, from row ``start``; the locator of the next is its first row's number."""

    following = "null"
    held = 0

    def __init__(self, start: int, size: int) -> None:
        self._start, self._end = start, start + size

    def cut(self, rows: list[list[str]]) -> list[list[str]]:
        found = rows[self._start : self._end]
        self.held = len(found)
        self.following = str(self._end) if self._end < len(rows) else "null"
        return found

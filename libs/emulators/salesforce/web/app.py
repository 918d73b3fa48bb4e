"""The routing table: every address, the kind of call that it is, and its handler.

The kinds are what faults name as their ``call`` and what ``/_emulator/stats`` counts.
"""

from __future__ import annotations

from aiohttp import web

from libs.emulators.salesforce.bulk.runner import JobRunner
from libs.emulators.salesforce.faults import CallKind
from libs.emulators.salesforce.org import Org
from libs.emulators.salesforce.web import bulk, control, login, metadata, records
from libs.emulators.salesforce.web.gate import Handler, error_bodies, guarded
from libs.emulators.salesforce.web.responses import ORG

_DATA = "/services/data/v{version}"
_JOBS = f"{_DATA}/jobs/ingest"
_OBJECT = f"{_DATA}/sobjects/{{object}}"
_COLLECTIONS = f"{_DATA}/composite/sobjects"
_MAX_BODY_BYTES = 16 * 1024 * 1024

_LOGINS: tuple[tuple[str, str, CallKind, Handler], ...] = (
    ("POST", "/services/oauth2/token", "token", login.token),
    ("POST", r"/services/Soap/u/{version:\d+\.\d}", "soap_login", login.soap_login),
    ("GET", "/services/data", "versions", metadata.versions),
)
_CALLS: tuple[tuple[str, str, CallKind, Handler], ...] = (
    ("GET", _DATA, "resources", metadata.resources),
    ("GET", f"{_DATA}/limits", "limits", metadata.limits),
    ("GET", f"{_DATA}/{{resource:query|queryAll}}", "query", metadata.query),
    ("GET", f"{_DATA}/{{resource:query|queryAll}}/{{locator}}", "query_more", metadata.query_more),
    ("GET", f"{_DATA}/sobjects", "sobjects", metadata.sobjects),
    ("GET", _OBJECT, "sobjects", metadata.sobject_summary),
    ("GET", f"{_OBJECT}/describe", "describe", metadata.describe),
    ("POST", _OBJECT, "record_write", records.create),
    ("GET", f"{_OBJECT}/{{id}}", "record_read", records.read),
    ("PATCH", f"{_OBJECT}/{{id}}", "record_write", records.change),
    ("DELETE", f"{_OBJECT}/{{id}}", "record_write", records.change),
    ("GET", f"{_OBJECT}/{{field}}/{{value}}", "record_read", records.read),
    ("PATCH", f"{_OBJECT}/{{field}}/{{value}}", "record_write", records.upsert),
    ("POST", _COLLECTIONS, "collections", records.collection_save),
    ("PATCH", _COLLECTIONS, "collections", records.collection_save),
    ("PATCH", f"{_COLLECTIONS}/{{object}}/{{field}}", "collections", records.collection_upsert),
    ("POST", _JOBS, "job_create", bulk.create),
    ("GET", _JOBS, "job_list", bulk.list_jobs),
    ("PUT", f"{_JOBS}/{{job}}/batches", "job_upload", bulk.upload),
    ("PATCH", f"{_JOBS}/{{job}}", "job_state", bulk.change_state),
    ("GET", f"{_JOBS}/{{job}}", "job_poll", bulk.poll),
    ("DELETE", f"{_JOBS}/{{job}}", "job_delete", bulk.delete),
    ("GET", f"{_JOBS}/{{job}}/{{results}}", "job_results", bulk.results),
)
_CONTROL: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/health", control.health),
    ("POST", "/_emulator/faults", control.add_faults),
    ("GET", "/_emulator/faults", control.list_faults),
    ("DELETE", "/_emulator/faults", control.clear_faults),
    ("GET", "/_emulator/stats", control.stats),
    ("GET", "/_emulator/attempts/{object}", control.attempts),
    ("GET", "/_emulator/records/{object}", control.records),
)
CALL_KINDS = frozenset(kind for _, _, kind, _ in (*_LOGINS, *_CALLS))
"""The kinds of call that some address has."""


def make_app(org: Org, runner: JobRunner, *, public_url: str) -> web.Application:
    """Build the application; the caller starts the runner and closes the org."""
    app = web.Application(middlewares=[error_bodies], client_max_size=_MAX_BODY_BYTES)
    app[ORG] = org
    app[bulk.RUNNER] = runner
    app[login.PUBLIC_URL] = public_url.rstrip("/")
    for method, path, kind, handler in _LOGINS:
        _add(app, method, path, login.own_errors(guarded(kind, handler, session=False)))
    for method, path, kind, handler in _CALLS:
        _add(app, method, path, guarded(kind, handler))
    for method, path, handler in _CONTROL:
        _add(app, method, path, handler)
    return app


def _add(app: web.Application, method: str, path: str, handler: Handler) -> None:
    """Route the address with and without a slash at its end, as Salesforce does."""
    app.router.add_route(method, path + "{slash:/?}", handler)

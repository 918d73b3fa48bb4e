"""Logs: one structured line an event, to stderr, with the ids of the work in hand and never a secret.

Levels: ERROR only when a person must act; WARNING for what heals by itself but should be seen; INFO for one line a
message.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from libs.common.settings import CommonSettings

_SECRET_KEY = re.compile(r"(?i)(secret|password|token|api_key|authorization|connection_string|credential)")
_SECRET_TEXT = re.compile(
    r"(?i)\b(SharedAccessKey|SharedAccessSignature|AccountKey|password|pwd|client_secret|access_token|api_key|sig)"
    r"(\s*=\s*)[^;&\s\"']+"
    r"|\b(Bearer|Basic)(\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(//[^/\s:@]+)(:)[^/\s@]+(?=@)"
)
_NOISY = {
    "azure.servicebus": logging.CRITICAL,  # every error it logs is also raised to us, who log it with its meaning
    "azure": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "alembic": logging.WARNING,
    "sqlalchemy": logging.WARNING,
}

_tracebacks = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # a login's locals hold its secrets
)


def configure_logging(settings: CommonSettings, *, service: str = "") -> FilteringBoundLogger:
    """Set up logging for the process, stdlib loggers of the libraries included. Every line tells the service."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    as_json = settings.log_format == "json"
    finish: list[Processor] = (
        [_tracebacks, redact, structlog.processors.JSONRenderer(serializer=_to_json)]
        if as_json
        else [structlog.processors.format_exc_info, redact, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            partial(_name, service),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *finish,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(level)
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(max(least, level))
    logging.captureWarnings(True)
    log: FilteringBoundLogger = structlog.get_logger().bind()  # else it is put together anew for every line
    return log


def _name(service: str, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Say whose line it is, also where a library or a logger of a module's own wrote it."""
    if service:
        event.setdefault("service", service)
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask what looks like a secret: by the name of a field, or by its shape in a text (a key, a password in a URL).

    The last line of defence: nobody should log one in the first place.
    """
    for key, value in event.items():
        # Numbers, ids and words, the bulk of what is logged, hold neither of what every secret in a text comes with.
        if isinstance(value, str):
            if "=" in value or " " in value or "@" in value or _names_a_secret(key):
                event[key] = _masked(key, value)
        elif not isinstance(value, (int, float)):
            event[key] = _masked(key, value)
    return event


def _masked(key: str, value: Any) -> Any:
    if isinstance(value, str):
        return "***" if _names_a_secret(key) else _SECRET_TEXT.sub(_mask, value)
    if isinstance(value, Mapping):
        return {inner: _masked(str(inner), item) for inner, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(key, item) for item in value]
    return value


@lru_cache(maxsize=1024)
def _names_a_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _mask(found: re.Match[str]) -> str:
    kept = [group for group in found.groups() if group]
    return "".join(kept) + "***"


def _to_json(event: EventDict, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


class _ToStructlog(logging.Handler):
    """Lets the libraries' records come out like ours."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
        )

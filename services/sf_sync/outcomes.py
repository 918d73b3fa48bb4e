"""What Salesforce said about a row, and what follows from it. Pure.

Codes are those of the SOAP/REST `StatusCode` enumeration; Bulk 2.0 gives them as `CODE:message:fields --` in sf__Error.
"""

import re
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Of one row in one sending."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNPROCESSED = "unprocessed"


class Kind(StrEnum):
    """Of a failed row: what to do with it."""

    TRANSIENT = "transient"
    """Send it again, later and in smaller company."""
    BATCH_LIMIT = "batch_limit"
    """The rows that travelled together overran a governor limit: send it again in half the company, at once."""
    PERMANENT = "permanent"
    """It will fail again until somebody changes the data or the org."""


_TRANSIENT: Final = frozenset(
    {
        "UNABLE_TO_LOCK_ROW",
        "API_TEMPORARILY_UNAVAILABLE",
        "SERVER_UNAVAILABLE",
        "REQUEST_RUNNING_TOO_LONG",
        "QUERY_TIMEOUT",
        "TXN_SECURITY_METERING_ERROR",
        "UNKNOWN_EXCEPTION",
        "UNPROCESSED",
    }
)
_TRANSIENT_TEXT: Final = re.compile(r"unable to (obtain exclusive access|lock row)|UNABLE_TO_LOCK_ROW", re.IGNORECASE)
_BATCH_LIMIT_CODES: Final = frozenset({"LIMIT_EXCEEDED", "APEX_CPU_LIMIT_EXCEEDED", "EXCEEDED_MAX_SEMIJOIN_SUBSELECTS"})
_BATCH_LIMIT_TEXT: Final = re.compile(
    r"CPU time limit|Too many (SOQL|DML|query|queueable|future|callouts|script)|heap size|"
    r"System\.LimitException|Maximum (CPU|trigger) ",
    re.IGNORECASE,
)
_ERROR_SHAPE: Final = re.compile(r"^\s*(?P<code>[A-Z][A-Z0-9_]+)\s*:\s*(?P<message>.*?)\s*$", re.DOTALL)
_TRAILER: Final = re.compile(r"\s*:?\s*--\s*$")


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row failed."""

    code: str
    message: str
    kind: Kind


UNPROCESSED: Final = RowError("UNPROCESSED", "The job ended before it reached this row.", Kind.TRANSIENT)
ABORTED: Final = RowError("JOB_ABORTED", "Somebody aborted the job in Salesforce.", Kind.PERMANENT)


def parse_error(text: str) -> RowError:
    """The row error in an `sf__Error` cell; one without a code gets UNKNOWN_ERROR and counts as permanent."""
    match = _ERROR_SHAPE.match(text)
    if match is None:
        return RowError("UNKNOWN_ERROR", text.strip(), Kind.PERMANENT)
    return row_error(match["code"], _TRAILER.sub("", match["message"]))


def row_error(code: str, message: str) -> RowError:
    """The row error of a code and its message, classified."""
    return RowError(code, message, classify(code, message))


def classify(code: str, message: str) -> Kind:
    """What to do with a row that failed so.

    Triggers wrap both locks and governor limits into CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY, so the text decides first.
    """
    if code in _BATCH_LIMIT_CODES or _BATCH_LIMIT_TEXT.search(message):
        return Kind.BATCH_LIMIT
    if code in _TRANSIENT or _TRANSIENT_TEXT.search(message):
        return Kind.TRANSIENT
    return Kind.PERMANENT


@dataclass(frozen=True, slots=True)
class NextWave:
    """Which failed rows are sent again, how many together, and after how long."""

    kinds: tuple[Kind, ...]
    rows_per_send: int
    wait_sec: float


def next_wave(
    failed: Dict[Kind, int], *, wave: int, rows_per_send: int, max_retries: int, first_wait_sec: float
) -> NextWave | None:
    """What to send after wave number `wave` (from 0) of at most `rows_per_send` rows a job or call; None: nothing.

    Transient rows come again `max_retries` times with waits that double. Rows over a governor limit come again in
    halves until one row travels alone, without waiting: time does not help them.
    """
    kinds = []
    if failed.get(Kind.TRANSIENT) and wave < max_retries:
        kinds.append(Kind.TRANSIENT)
    if failed.get(Kind.BATCH_LIMIT) and rows_per_send > 1:
        kinds.append(Kind.BATCH_LIMIT)
    if not kinds:
        return None
    wait = first_wait_sec * 2**wave if Kind.TRANSIENT in kinds else 0.0
    return NextWave(tuple(kinds), max(1, rows_per_send // 2), wait)

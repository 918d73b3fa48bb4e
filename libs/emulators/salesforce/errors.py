"""The two ways in which Salesforce refuses: a whole request, or one record of it."""

from __future__ import annotations

from dataclasses import dataclass


class ApiError(Exception):
    """A request is refused as a whole: HTTP ``status`` and the body ``[{"errorCode", "message", "fields"?}]``."""

    def __init__(
        self, status: int, code: str, message: str, *, fields: tuple[str, ...] = (), retry_after_sec: int | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields
        self.retry_after_sec = retry_after_sec


class JobFailure(Exception):
    """A bulk job ends as Failed, with this text as its ``errorMessage``; rows not yet applied stay unprocessed."""


@dataclass(frozen=True, slots=True)
class RowFailure:
    """One record was refused; the others are not affected."""

    code: str
    message: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Render as the ``sf__Error`` column does: ``CODE:message:Field__c --``."""
        return f"{self.code}:{self.message}:{', '.join(self.fields)}{' ' if self.fields else ''}--"


class RowRefused(Exception):
    """Raised while one record is converted; carries the failure that becomes its outcome."""

    def __init__(self, failure: RowFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def not_found() -> ApiError:
    """The answer to an address, job or record that does not exist."""
    return ApiError(404, "NOT_FOUND", "The requested resource does not exist")

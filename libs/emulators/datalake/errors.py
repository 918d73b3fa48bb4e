"""Refusals, in the service's own vocabulary.

Codes and statuses: https://learn.microsoft.com/rest/api/storageservices/data-lake-storage-gen2-error-codes and
…/blob-service-error-codes.
"""


class ServiceError(Exception):
    """An answer with an error status, `x-ms-error-code` and a body that repeats both."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def bad_request(code: str, message: str) -> ServiceError:
    """400."""
    return ServiceError(400, code, message)


def conflict(code: str, message: str) -> ServiceError:
    """409."""
    return ServiceError(409, code, message)


def precondition_failed(code: str, message: str) -> ServiceError:
    """412."""
    return ServiceError(412, code, message)

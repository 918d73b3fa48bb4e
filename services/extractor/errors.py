"""What can be wrong with the source, by what the operator does about it."""

from __future__ import annotations

from libs.common.errors import TerminalError, TransientError


class ApiUnreachableError(TransientError):
    """The events API cannot be reached."""

    code = "api_unreachable"
    next_step = "Check API_BASE_URL and the network with `retl check-api`; then publish the week again."


class ApiTimeoutError(TransientError):
    """The events API did not answer in time."""

    code = "api_timeout"
    next_step = (
        "Check the API with `retl check-api`; raise API_TIMEOUT_SEC or lower API_CONCURRENCY; then publish again."
    )


class ApiBusyError(TransientError):
    """The events API refused for the moment (429 or a 5xx).

    `retry_after_sec` is what its Retry-After header asked for, None without one.
    """

    code = "api_unavailable"
    next_step = "Wait for the API to recover, or lower API_CONCURRENCY and API_RATE_LIMIT_PER_SEC; then publish again."

    def __init__(self, message: str, *, retry_after_sec: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_sec = retry_after_sec


class ApiMalformedError(TransientError):
    """The events API answered with something that is no JSON, or stopped in the middle."""

    code = "api_response_malformed"
    next_step = "Look at what the API serves for that page; publish the week again when it is whole."


class ApiAuthError(TerminalError):
    """The events API does not accept the key."""

    code = "api_unauthorised"
    next_step = "Correct API_KEY (and API_KEY_HEADER), prove it with `retl check-api`, then publish the week again."


class ApiResponseError(TerminalError):
    """The events API answered in a way that is no page of events."""

    code = "api_response_unusable"
    next_step = (
        "Check API_BASE_URL, API_EVENTS_PATH and API_PAGINATION with `retl check-api`, then publish the week again."
    )


class PublishedWeekDamagedError(TerminalError):
    """The week was done before, but its published files no longer agree with their manifest."""

    code = "published_week_damaged"
    next_step = "Run the week again with --force; it is fetched anew and supersedes the damaged one."

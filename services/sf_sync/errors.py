"""What can go wrong between the signals and Salesforce, each named once with the operator's next step."""

from libs.common.errors import TerminalError, TransientError


class SalesforceUnavailableError(TransientError):
    """Salesforce does not answer, answers 5xx or 429, or the connection broke."""

    code = "sf_unavailable"
    next_step = "Nothing yet: the sync is taken up again where it stands. See status.salesforce.com if it lasts."


class SalesforceLimitError(TransientError):
    """The org's daily limits leave no room for this sync above the reserve."""

    code = "sf_limit_reached"
    next_step = (
        "Wait until the rolling 24 hours free the limit (Setup → Company Information), or lower SF_LIMIT_RESERVE_PCT, "
        "then `retl dlq replay`."
    )


class JobStillRunningError(TransientError):
    """Salesforce is still working on a job that was handed over; the job goes on and is never sent again."""

    code = "sf_job_running"
    next_step = "Nothing yet: a later attempt re-attaches to the job (Setup → Bulk Data Load Jobs shows it)."


class EarlierSyncRunningError(TransientError):
    """A superseded run of the same week is still sending; its rows must land before newer ones."""

    code = "sf_earlier_sync_running"
    next_step = "Nothing yet: this sync starts when the earlier one has ended."


class SalesforceLoginError(TerminalError):
    """Salesforce refuses the login."""

    code = "sf_login_failed"
    next_step = (
        "Check SF_LOGIN_URL (client credentials need the org's My Domain), SF_CLIENT_ID and its secret or key, and "
        "that the External Client App has this flow enabled and a run-as user; then `retl dlq replay`."
    )


class SalesforceRequestError(TerminalError):
    """Salesforce understood a request and refused it."""

    code = "sf_request_refused"
    next_step = "Grant the integration user API access to the object and its fields, then `retl dlq replay`."

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class MappingError(TerminalError):
    """The mapping file does not fit the signals or the Salesforce object."""

    code = "sf_mapping_invalid"
    next_step = (
        "Correct SF_MAPPING_FILE or the object in Salesforce Setup (all faults are listed), then `retl dlq replay`."
    )


class OutcomesIncompleteError(TerminalError):
    """The outcomes that Salesforce reports do not add up to the rows that were sent."""

    code = "sf_outcomes_incomplete"
    next_step = (
        "`retl dlq replay` asks Salesforce for the job's results again and sends nothing. If they stay incomplete, "
        "`retl publish --week-start W --force` sends the rows without a known outcome again."
    )


class TooManyRejectedError(TerminalError):
    """More rows than SF_MAX_ERROR_RATE_PCT allows were rejected or invalid."""

    code = "sf_too_many_rejected"
    next_step = (
        "See `retl sync show` or sync_changes in the lake for each row's reason, correct the data or the org's rules, "
        "then `retl dlq replay`: only the rows that failed are sent again."
    )


class SourceError(TerminalError):
    """The signals cannot be read from where the settings say they are."""

    code = "sf_source_unreadable"
    next_step = "Check SF_SOURCE, SF_WAREHOUSE_URL and that the view exists for this login, then `retl dlq replay`."


class SourceUnavailableError(TransientError):
    """The warehouse does not answer, or broke off, or is moving or starting."""

    code = "sf_source_unavailable"
    next_step = "Nothing yet: the view is read again later. Look at the warehouse if it lasts."


class SyncTakenOverError(Exception):
    """Another worker, or a newer run of the week, moved this sync's records: this one must stop without any effect."""

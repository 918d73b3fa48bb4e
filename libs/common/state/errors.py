"""How the state tables fail, in the project's own classes."""

from __future__ import annotations

from libs.common.errors import TerminalError, TransientError
from libs.common.state.types import RunStatus
from libs.common.week import Week


class StateError(TransientError):
    """The state database failed in a way that nobody mapped."""

    code = "state_error"


class StateUnavailableError(StateError):
    """The state database cannot be reached, or asks to be left alone for a while."""

    code = "state_unavailable"
    next_step = (
        "Nothing yet: the message stays on the bus. Look at the database's health and at the network if it goes on."
    )


class StateBusyError(StateError):
    """Others held the rows for too long (deadlock, lock time-out); nothing was written."""

    code = "state_busy"
    next_step = "Nothing yet: it is tried again. Look for a long transaction in the state database if it goes on."


class DuplicateKeyError(StateError):
    """Somebody wrote the same key first; nothing was written."""

    code = "state_duplicate_key"


class StateSetupError(StateError, TerminalError):
    """The state database refuses, and will until somebody changes something."""

    code = "state_setup"
    transient = False


class StateUrlError(StateSetupError):
    """STATE_URL cannot be used."""

    code = "state_url_invalid"
    next_step = "Give STATE_URL as sqlite:///<file> or mssql+pyodbc://<server>/<database>."


class StateDriverError(StateSetupError):
    """What is needed to speak to SQL Server is not installed."""

    code = "state_driver_missing"


class StateTlsError(StateSetupError):
    """The state database's certificate is not trusted."""

    code = "state_tls_untrusted"
    next_step = (
        "Have the container trust the server's issuer (ca-certificates), or name the certificate's host with "
        "?HostNameInCertificate=…; ?TrustServerCertificate=yes only for a server of your own on a closed network."
    )


class StateLoginError(StateSetupError):
    """The state database does not let this identity in."""

    code = "state_login_failed"
    next_step = "Check the identity or user in STATE_URL; deploy/sql/state/grants.sql.tmpl makes the database's users."


class StatePermissionError(StateSetupError):
    """This identity may not do this in the state database."""

    code = "state_permission_denied"
    next_step = "Grant this service its role with deploy/sql/state/grants.sql.tmpl."


class StateSchemaError(StateSetupError):
    """The state tables are missing or older than this release."""

    code = "state_schema_missing"
    next_step = "Run `retl migrate` with this STATE_URL, or have the scripts in deploy/sql/state applied."


class StateValueError(StateSetupError):
    """A value does not fit the state tables."""

    code = "state_value_invalid"
    next_step = "Correct the request (names and ids have a greatest length) and publish it again."


class StateConflictError(StateSetupError):
    """The tables already say something else."""

    code = "state_conflict"
    next_step = "See `retl runs` for what was recorded; cancel the run and publish the week again if it is wrong."


class WeekBusyError(StateConflictError):
    """Another run of the week is active."""

    code = "week_busy"

    def __init__(self, week: Week, active_run_id: str) -> None:
        super().__init__(
            f"Week {week} is already being run by {active_run_id}.",
            next_step=f"Wait for {active_run_id}, or end it with `retl cancel {active_run_id}`, and publish again.",
        )
        self.week = week
        self.active_run_id = active_run_id


class WeekDoneError(StateConflictError):
    """Another run of the week succeeded, and this one was not told to replace it."""

    code = "week_done"

    def __init__(self, week: Week, successful_run_id: str) -> None:
        super().__init__(
            f"Week {week} has already succeeded as {successful_run_id}.",
            next_step="Publish the week with --force if the earlier success is to be replaced.",
        )
        self.week = week
        self.successful_run_id = successful_run_id


class PartsTotalError(StateConflictError):
    """The week is recorded with another number of parts."""


class RunEndedError(StateConflictError):
    """The run is not active any more."""

    code = "run_ended"

    def __init__(self, run_id: str, status: RunStatus) -> None:
        super().__init__(
            f"Run {run_id} ended as {status}.",
            next_step="Nothing for a cancelled run. For a failed one: correct its cause, then `retl dlq replay`.",
        )
        self.run_id = run_id
        self.status = status


class RunMissingError(StateConflictError):
    """The run or the stage is not in the tables."""

    code = "run_missing"
    next_step = "Check that all services have the same STATE_URL; publish the week again."

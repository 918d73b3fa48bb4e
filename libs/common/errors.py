"""The two kinds of failure, decided once at the adapter that meets the vendor's error.

A transient failure may go away by itself, so its message is delivered again later. A terminal one will not, so its
message is dead-lettered and its run ends. Whatever is neither (a bug, an exception nobody mapped) counts as transient
until the attempts are spent: a wasted retry is cheaper than a lost week.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class RetlError(Exception):
    """Something failed in a way that the project has a name for."""

    code: ClassVar[str] = "internal_error"
    """Stable, snake_case; what alerts, state tables, dead letters and `retl` show."""
    transient: ClassVar[bool] = True
    """Whether delivering the message again later may help."""
    next_step: str = "Look at the service's log for the run's correlation id."
    """What the operator does now, as a sentence."""

    def __init__(self, message: str | None = None, *, next_step: str | None = None) -> None:
        """Without a message the class's docstring is the message."""
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or type(self).__name__))
        if next_step is not None:
            self.next_step = next_step


class TransientError(RetlError):
    """A dependency did not answer as it should; it may next time."""

    code = "transient_error"
    next_step = "Nothing yet: the message is delivered again by itself. Look at the dependency if it goes on."


class TerminalError(RetlError):
    """Trying again will not help until somebody changes something."""

    code = "terminal_error"
    transient = False


class SettingsError(TerminalError):
    """A setting is missing or wrong."""

    code = "settings_invalid"
    next_step = "Correct the setting in the environment or in .env and start again."


def is_transient(error: BaseException) -> bool:
    """True for a transient error and for one that nobody classified."""
    return error.transient if isinstance(error, RetlError) else True


def error_code(error: BaseException) -> str:
    """The code to record for any exception; `internal_error` where nobody named it."""
    return error.code if isinstance(error, RetlError) else RetlError.code


def describe(error: BaseException) -> str:
    """One line for an operator: the message of ours, or the type and text of somebody else's."""
    return str(error) if isinstance(error, RetlError) else f"{type(error).__name__}: {error}"

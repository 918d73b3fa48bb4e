"""What can go wrong with the lake, decided once: transient (the work is retried) or terminal (a person must act).

No message holds a key, a token or a connection string.
"""

from libs.common.errors import RetlError, TerminalError, TransientError


class LakeError(RetlError):
    """The data lake did not do what was asked."""

    code = "lake_error"


class LakeUnavailableError(LakeError, TransientError):
    """The lake does not answer, answers 5xx, throttles, or the connection broke."""

    code = "lake_unavailable"
    next_step = (
        "Nothing, unless it lasts: the work is retried. Then check the storage account's health and the network."
    )


class LakeFullError(LakeError, TransientError):
    """The disk or the quota under the lake is used up."""

    code = "lake_full"
    next_step = "Free space or raise the quota under LAKE_URL; the work is retried."


class LakeAccessError(LakeError, TerminalError):
    """The lake refuses this identity or key."""

    code = "lake_access_denied"
    next_step = (
        "Grant the service's identity 'Storage Blob Data Contributor' on the container, or correct the key in "
        "DATALAKE_CONNECTION_STRING; for a folder, make it writable for the service's user."
    )


class LakeMissingError(LakeError, TerminalError):
    """The container that LAKE_URL names does not exist."""

    code = "lake_missing"
    next_step = "Create the container (the deployment does it) or correct LAKE_URL."


class LakeFileNotFoundError(LakeError, TerminalError):
    """No file (or directory, where one is asked for) has this path."""

    code = "lake_file_not_found"
    next_step = "If retention removed the run's files, publish the week again with --force."


class LakeFileExistsError(LakeError, TerminalError):
    """The target of a rename that must not overwrite is taken."""

    code = "lake_file_exists"
    next_step = "Look who wrote the target; remove it or move it aside, then replay the message."


class LakePathError(LakeError, TerminalError):
    """The path is not one that the lake accepts (absolute, '..', reserved name, a directory in a file's place)."""

    code = "lake_bad_path"
    next_step = "Paths come from code or from a message: correct the sender; the same message will fail again."


class LakeUrlError(LakeError, TerminalError):
    """LAKE_URL, or the connection string beside it, cannot be understood."""

    code = "lake_bad_url"
    next_step = (
        "Set LAKE_URL to file:///absolute/dir or abfss://container@account.dfs.core.windows.net/prefix; for account "
        "keys or the emulator also set DATALAKE_CONNECTION_STRING (for the emulator with its BlobEndpoint)."
    )

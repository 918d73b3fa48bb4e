"""Azure's exceptions into the lake's, by HTTP status and `x-ms-error-code`."""

from typing import Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from libs.common.lake.errors import (
    LakeAccessError,
    LakeError,
    LakeFileExistsError,
    LakeFileNotFoundError,
    LakeFullError,
    LakeMissingError,
    LakePathError,
    LakeUnavailableError,
)

# https://learn.microsoft.com/rest/api/storageservices/data-lake-storage-gen2-error-codes
_NO_CONTAINER: Final = frozenset({"FilesystemNotFound", "ContainerNotFound", "FilesystemBeingDeleted"})
_NO_SUCH_PATH: Final = frozenset({"PathNotFound", "BlobNotFound", "SourcePathNotFound", "ResourceNotFound"})
_TAKEN: Final = frozenset({"PathAlreadyExists", "BlobAlreadyExists", "DirectoryNotEmpty", "ResourceAlreadyExists"})
_WRONG_KIND: Final = frozenset(
    {"PathConflict", "ResourceTypeMismatch", "InvalidSourceOrDestinationResourceType", "InvalidResourceName"}
)
_FULL: Final = frozenset({"AccountQuotaExceeded", "InsufficientAccountQuota", "FilesystemQuotaExceeded"})
NO_TARGET_PARENT: Final = "RenameDestinationParentPathNotFound"


def azure_code(error: AzureError) -> str:
    """The service's error code, or "" when there was no answer (connection, time-out, credential)."""
    response = getattr(error, "response", None)
    return str(response.headers.get("x-ms-error-code", "")) if response is not None else ""


def from_azure(error: AzureError, what: str) -> LakeError:
    """The LakeError for `error`; `what` says which path of which lake.

    The SDK's own text is left out, because it may quote a signed URL; it is in the log, as the cause.
    """
    status = error.status_code if isinstance(error, HttpResponseError) else None
    code = azure_code(error)
    answer = f"{what}: the storage account answered {status} {code}".rstrip()
    if code in _NO_CONTAINER:
        return LakeMissingError(f"{what}: the container does not exist ({code}).")
    if code in _NO_SUCH_PATH:
        return LakeFileNotFoundError(f"There is no file {what}.")
    if code in _TAKEN:
        return LakeFileExistsError(f"{answer}: the target exists already.")
    if code in _WRONG_KIND:
        return LakePathError(f"{answer}: a directory is in the place of a file or the reverse.")
    if code in _FULL:
        return LakeFullError(f"{answer}.")
    if isinstance(error, ClientAuthenticationError) or status in {401, 403}:
        return LakeAccessError(f"{answer}." if status else f"{what}: no token for the storage account.")
    if status == 404:
        return LakeFileNotFoundError(f"There is no file {what} ({code or 'no error code'}).")
    # What is left is busy, broken, slow, or a race (409, 412) that the next delivery does not meet again.
    return LakeUnavailableError(f"{answer}." if status else f"{what}: no answer ({type(error).__name__}).")

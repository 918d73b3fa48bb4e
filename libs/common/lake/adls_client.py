"""An SDK client for one container, by connection string or by identity."""

from typing import Any, Final

from azure.core.credentials_async import AsyncTokenCredential
from azure.storage.filedatalake.aio import ExponentialRetry, FileSystemClient

from libs.common.lake.errors import LakeUrlError

CHUNK_BYTES: Final = 4 << 20
"""What one request carries at most: bounds memory, and is large enough that round trips do not dominate."""

_CONNECTION_TIMEOUT_SEC: Final = 10
_READ_TIMEOUT_SEC: Final = 60


def open_client(
    container: str, host: str, *, connection_string: str | None, credential: AsyncTokenCredential | None
) -> FileSystemClient:
    """A client for `container`; makes no connection. `host` is `account.dfs.suffix`.

    The connection string, where given, decides the endpoint, and must be for the account that `host` names. Raises
    LakeUrlError, which never repeats the string.
    """
    options: dict[str, Any] = {
        "retry_policy": quick_retries(),
        "connection_timeout": _CONNECTION_TIMEOUT_SEC,
        "read_timeout": _READ_TIMEOUT_SEC,
        "max_single_get_size": CHUNK_BYTES,
        "max_chunk_get_size": CHUNK_BYTES,
    }
    account, _, zone = host.partition(".")
    if not zone.startswith("dfs."):
        raise LakeUrlError(f"The host of LAKE_URL must be <account>.dfs.core.windows.net, not {host!r}.")
    if connection_string is None:
        return FileSystemClient(f"https://{host}", container, credential=credential, **options)
    _check_connection_string(connection_string, account)
    try:
        return FileSystemClient.from_connection_string(connection_string, container, **options)
    except ValueError as error:
        raise LakeUrlError("DATALAKE_CONNECTION_STRING is incomplete or malformed.") from error


def quick_retries() -> ExponentialRetry:
    """A few tries within seconds, which bridge a hiccup; what lasts longer goes back to the bus as a delayed retry.

    The SDK's default waits 15 s and more before its first retry; 429 it does not retry at all. A policy belongs to one
    client (it holds the next link of that client's pipeline), so each client gets a new one.
    """
    return ExponentialRetry(initial_backoff=1, increment_base=2, random_jitter_range=1, retry_total=3)


def _check_connection_string(text: str, account: str) -> None:
    pairs = (part.partition("=") for part in text.split(";"))
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if fields.get("accountname", account).lower() != account:
        raise LakeUrlError(
            f"LAKE_URL names the account {account!r}, DATALAKE_CONNECTION_STRING the account {fields['accountname']!r}."
        )
    if "dfsendpoint" in fields and "blobendpoint" not in fields:
        # The SDK ignores DfsEndpoint, and would go to the cloud with an emulator's key.
        raise LakeUrlError(
            "DATALAKE_CONNECTION_STRING has a DfsEndpoint but no BlobEndpoint, which is the one that counts."
        )

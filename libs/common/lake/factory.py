"""From LAKE_URL to a lake."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr

from libs.common.lake.errors import LakeUrlError
from libs.common.lake.folder import FolderLake
from libs.common.lake.port import Lake

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential


def open_lake(
    url: str,
    *,
    connection_string: SecretStr | str | None = None,
    credential: "AsyncTokenCredential | None" = None,
) -> Lake:
    """Open the lake that `url` names; no connection is made before the first call.

    `file:///absolute/dir` is a folder. `abfss://container@account.dfs.core.windows.net/prefix` is ADLS Gen2, with
    `connection_string` (account key, or the emulator) if there is one, else with `credential`, else with a
    DefaultAzureCredential of its own. A credential that was passed in is not closed. Raises LakeUrlError.
    """
    parts = _split(url)
    if parts.scheme == "file":
        return FolderLake(_folder(parts))
    # Imported here, because the SDK takes long to import and a folder lake does not need it.
    from libs.common.lake.adls import open_adls_lake

    if isinstance(connection_string, SecretStr):
        connection_string = connection_string.get_secret_value()
    if not parts.username or not parts.hostname or parts.netloc.count(":"):
        raise LakeUrlError(
            "An abfss LAKE_URL names container and account: abfss://container@account.dfs.core.windows.net"
        )
    return open_adls_lake(
        container=parts.username,
        host=parts.hostname,
        prefix=unquote(parts.path).strip("/"),
        connection_string=connection_string or None,
        credential=credential,
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise LakeUrlError("LAKE_URL is not a URL.") from error
    if parts.scheme not in {"file", "abfss"}:
        raise LakeUrlError(f"LAKE_URL must begin with file:/// or abfss://, not with {url.partition(':')[0][:20]!r}.")
    if parts.query or parts.fragment:  # not repeated in the message: it may be a SAS token
        raise LakeUrlError("LAKE_URL must not hold '?' or '#'; secrets belong in DATALAKE_CONNECTION_STRING.")
    return parts


def _folder(parts: SplitResult) -> Path:
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise LakeUrlError(
            f"A folder is given as file:///absolute/dir (three slashes), not file://{parts.netloc}{parts.path}."
        )
    folder = Path(unquote(parts.path))
    if folder == Path("/"):
        raise LakeUrlError("LAKE_URL=file:/// would make the whole disk the lake; name a directory.")
    if folder.exists() and not folder.is_dir():
        raise LakeUrlError(f"LAKE_URL names a file, not a directory: {folder}.")
    return folder

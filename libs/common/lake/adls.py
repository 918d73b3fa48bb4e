"""The lake in Azure Data Lake Storage Gen2 (hierarchical namespace), through the official SDK."""

import asyncio
import contextlib
import io
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, ResourceModifiedError, ResourceNotFoundError
from azure.identity.aio import DefaultAzureCredential
from azure.storage.filedatalake import FileProperties
from azure.storage.filedatalake.aio import DataLakeDirectoryClient, DataLakeFileClient, FileSystemClient

from libs.common.lake import paths
from libs.common.lake.adls_client import open_client
from libs.common.lake.adls_errors import NO_TARGET_PARENT, azure_code, from_azure
from libs.common.lake.adls_transfer import chunks_of_bytes, chunks_of_file, download, upload
from libs.common.lake.disk_errors import from_os
from libs.common.lake.errors import LakeFileNotFoundError, LakeUnavailableError
from libs.common.lake.port import FileInfo, FileInfos

_UPLOAD_ID: Final = "upload_id"
"""Metadata of every file that was put. A rename keeps it, so it tells whether a rename without an answer took place."""

# A download that another writer's rename overtakes starts again, so often.
_DOWNLOAD_ATTEMPTS: Final = 4
_CLEAN_UP_TIMEOUT_SEC: Final = 5.0


def open_adls_lake(
    *, container: str, host: str, prefix: str, connection_string: str | None, credential: AsyncTokenCredential | None
) -> "AdlsLake":
    """A lake below `prefix` of a container; see `open_lake` for which credential is used."""
    if prefix:
        paths.check_path(prefix)
    own = DefaultAzureCredential() if connection_string is None and credential is None else None
    client = open_client(container, host, connection_string=connection_string, credential=credential or own)
    return AdlsLake(
        client, url=f"abfss://{container}@{host}/{quote(prefix)}".rstrip("/"), prefix=prefix, credential=own
    )


class AdlsLake:
    """Implements `Lake` on a container, below `prefix` ("" is its root). Closes `client`, and `credential` if given."""

    def __init__(
        self, client: FileSystemClient, *, url: str, prefix: str, credential: AsyncTokenCredential | None = None
    ) -> None:
        self._client = client
        self._url = url
        self._prefix = f"{prefix}/" if prefix else ""
        self._credential = credential

    @property
    def url(self) -> str:
        """`abfss://container@account…/prefix`, percent-encoded where needed."""
        return self._url

    async def put_file(self, local: Path, path: str) -> None:
        """See `Lake.put_file`."""
        await self._put(chunks_of_file(local), path)

    async def put_bytes(self, data: bytes, path: str) -> None:
        """See `Lake.put_bytes`."""
        await self._put(chunks_of_bytes(data), path)

    async def get_bytes(self, path: str) -> bytes:
        """See `Lake.get_bytes`."""
        sink = io.BytesIO()
        await self._download(path, sink)
        return sink.getvalue()

    async def get_file(self, path: str, local: Path) -> Path:
        """See `Lake.get_file`."""
        part = local.with_name(paths.temporary_name())
        with self._errors(path):
            file = await asyncio.to_thread(part.open, "xb")
            try:
                with file:
                    await self._download(path, file)
                return await asyncio.to_thread(part.replace, local)
            finally:
                await asyncio.to_thread(part.unlink, missing_ok=True)

    @asynccontextmanager
    async def local_copy(self, path: str, scratch: Path) -> AsyncGenerator[Path]:
        """See `Lake.local_copy`."""
        copy = scratch / f"{uuid.uuid4().hex}{Path(path).suffix}"
        try:
            yield await self.get_file(path, copy)
        finally:
            await asyncio.to_thread(copy.unlink, missing_ok=True)

    async def exists(self, path: str) -> bool:
        """See `Lake.exists`."""
        return await self._properties(path) is not None

    async def info(self, path: str) -> FileInfo:
        """See `Lake.info`."""
        return FileInfo(path, (await self._file_properties(path)).size)

    async def list(self, prefix: str) -> FileInfos:
        """See `Lake.list`."""
        directory = self._at(prefix) if prefix else self._prefix.rstrip("/")
        found = []
        with contextlib.suppress(LakeFileNotFoundError), self._errors(prefix):
            async for item in self._client.get_paths(path=directory or None, recursive=True):
                path = item.name.removeprefix(self._prefix)
                if not item.is_directory and not paths.is_temporary(path):
                    found.append(FileInfo(path, item.content_length))
        return sorted(found, key=lambda info: info.path)

    async def rename(self, source: str, target: str, *, overwrite: bool = True) -> None:
        """See `Lake.rename`."""
        new = self._at(target)
        identity = _identity(await self._file_properties(source))
        with self._errors(source):
            await self._rename(self._file(source), new, identity, overwrite=overwrite)

    async def rename_directory(self, source: str, target: str) -> None:
        """See `Lake.rename_directory`."""
        old, new = self._at(source), self._at(target)
        properties = await self._properties(source)
        if properties is None or not _is_directory(properties):
            raise LakeFileNotFoundError(f"There is no directory {source!r} in {self.url}.")
        with self._errors(source):
            directory = self._client.get_directory_client(old)
            await self._rename(directory, new, _identity(properties), overwrite=False)

    async def delete(self, path: str) -> None:
        """See `Lake.delete`. The service removes a directory in one step, however large."""
        properties = await self._properties(path)
        if properties is None:
            return
        with contextlib.suppress(LakeFileNotFoundError), self._errors(path):
            if _is_directory(properties):
                await self._client.get_directory_client(self._at(path)).delete_directory()
            else:
                await self._file(path).delete_file()

    async def sweep(self, *, older_than_sec: float) -> int:
        """See `Lake.sweep`."""
        limit = datetime.now(UTC) - timedelta(seconds=older_than_sec)
        leftovers = []
        with contextlib.suppress(LakeFileNotFoundError), self._errors(""):
            async for item in self._client.get_paths(path=self._prefix.rstrip("/") or None, recursive=True):
                changed_at = item.last_modified.replace(tzinfo=UTC)  # the SDK's listing gives it without a zone
                if paths.is_temporary(item.name) and not item.is_directory and changed_at < limit:
                    leftovers.append(item.name)
        with self._errors(""):
            for name in leftovers:
                with contextlib.suppress(ResourceNotFoundError):
                    await self._client.get_file_client(name).delete_file()
        return len(leftovers)

    async def aclose(self) -> None:
        """See `Lake.aclose`."""
        await self._client.close()
        if self._credential is not None:
            await self._credential.close()

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except AzureError as error:
            raise from_azure(error, f"{path!r} in {self.url}") from error
        except OSError as error:  # of the local disk; the network's come as AzureError
            raise from_os(error, f"{path!r} in {self.url}") from error

    def _at(self, path: str) -> str:
        return self._prefix + paths.check_path(path)

    def _file(self, path: str) -> DataLakeFileClient:
        return self._client.get_file_client(self._at(path))

    async def _properties(self, path: str) -> FileProperties | None:
        """Of a file or a directory; None if there is neither."""
        with contextlib.suppress(LakeFileNotFoundError), self._errors(path):
            return await self._file(path).get_file_properties()
        return None

    async def _file_properties(self, path: str) -> FileProperties:
        properties = await self._properties(path)
        if properties is None:
            raise LakeFileNotFoundError(f"There is no file {path!r} in {self.url}.")
        if _is_directory(properties):
            raise LakeFileNotFoundError(f"{path!r} in {self.url} is a directory, not a file.")
        return properties

    async def _put(self, chunks: AsyncIterator[bytes], path: str) -> None:
        """Upload beside the target, then rename over it: an upload straight to the target would empty it first."""
        target = self._at(path)
        directory, slash, _ = target.rpartition("/")
        file = self._client.get_file_client(directory + slash + paths.temporary_name())
        upload_id = uuid.uuid4().hex
        with self._errors(path):
            try:
                await upload(file, chunks, metadata={_UPLOAD_ID: upload_id})
                await self._rename(file, target, upload_id, overwrite=True)
            except BaseException:
                # Best effort, also when cancelled: what stays behind is hidden, and goes with its directory.
                with contextlib.suppress(AzureError, TimeoutError):
                    async with asyncio.timeout(_CLEAN_UP_TIMEOUT_SEC):
                        await file.delete_file(retry_total=0)
                raise

    async def _download(self, path: str, sink: BinaryIO) -> None:
        await self._file_properties(path)  # a directory downloads as an empty file
        for _ in range(_DOWNLOAD_ATTEMPTS):
            with self._errors(path), contextlib.suppress(ResourceModifiedError):
                return await download(self._file(path), sink)
            await asyncio.to_thread(sink.seek, 0)
            await asyncio.to_thread(sink.truncate)
        raise LakeUnavailableError(f"{path!r} in {self.url} was replaced {_DOWNLOAD_ATTEMPTS} times while it was read.")

    async def _rename(
        self, source: DataLakeFileClient | DataLakeDirectoryClient, target: str, identity: str, *, overwrite: bool
    ) -> None:
        """Rename, making the target's parents if need be.

        The SDK repeats a request whose answer was lost. The repetition then finds no source, or a target in its way; if
        the target is what was to be moved, the rename has taken place.
        """
        try:
            await self._rename_once(source, target, overwrite=overwrite)
        except AzureError as error:
            if azure_code(error) == NO_TARGET_PARENT:
                await self._client.create_directory(target.rpartition("/")[0])
                await self._rename_once(source, target, overwrite=overwrite)
            elif not await self._is_at(target, identity):
                raise

    async def _rename_once(
        self, source: DataLakeFileClient | DataLakeDirectoryClient, target: str, *, overwrite: bool
    ) -> None:
        condition = None if overwrite else MatchConditions.IfMissing
        name = f"{self._client.file_system_name}/{target}"
        if isinstance(source, DataLakeFileClient):
            await source.rename_file(name, match_condition=condition)
        else:
            await source.rename_directory(name, match_condition=condition)

    async def _is_at(self, target: str, identity: str) -> bool:
        with contextlib.suppress(AzureError):
            return _identity(await self._client.get_file_client(target).get_file_properties()) == identity
        return False


def _is_directory(properties: FileProperties) -> bool:
    return (properties.metadata or {}).get("hdi_isfolder") == "true"


def _identity(properties: FileProperties) -> str:
    """What stays with a file or directory when it is renamed, and belongs to no other."""
    return (properties.metadata or {}).get(_UPLOAD_ID) or str(properties.etag)

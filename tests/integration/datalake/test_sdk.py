"""The emulator as azure-storage-file-datalake sees it: the calls that the SDK makes, and the service's answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.filedatalake import ContentSettings
from azure.storage.filedatalake.aio import DataLakeServiceClient, FileSystemClient

from .conftest import Clock


async def code_of(call: Awaitable[object]) -> str:
    """The service's error code for a call that must fail."""
    with pytest.raises(HttpResponseError) as caught:
        await call
    response: Any = caught.value.response
    return str(response.headers["x-ms-error-code"])


async def put(lake: FileSystemClient, path: str, data: bytes = b"content") -> None:
    await lake.get_file_client(path).upload_data(data, overwrite=True)


async def get(lake: FileSystemClient, path: str) -> bytes:
    return await (await lake.get_file_client(path).download_file()).readall()


async def test_containers_are_made_listed_and_deleted_with_their_content(service: DataLakeServiceClient) -> None:
    made = await service.create_file_system("another")
    assert await made.exists()
    assert [item.name async for item in service.list_file_systems()] == ["another", "lake"]
    with pytest.raises(ResourceExistsError):
        await service.create_file_system("another")
    await put(made, "dir/file")
    await made.delete_file_system()
    assert not await made.exists()
    assert await code_of(put(made, "dir/file")) == "FilesystemNotFound"
    assert await code_of(service.create_file_system("No-Good")) == "InvalidResourceName"


async def test_properties_tell_size_kind_settings_and_metadata(lake: FileSystemClient) -> None:
    file = lake.get_file_client("dir/file")
    settings = ContentSettings(content_type="text/csv", cache_control="no-cache")
    await file.create_file(content_settings=settings, metadata={"Owner": "grüße".encode().hex()})
    await file.append_data(b"12345", offset=0)
    await file.flush_data(5)
    properties = await file.get_file_properties()
    assert properties.size == 5
    assert properties.content_settings.content_type == "text/csv"
    assert properties.content_settings.cache_control == "no-cache"
    assert properties.metadata == {"owner": "grüße".encode().hex()}
    assert properties.last_modified.timestamp() == 1_700_000_000
    directory = await lake.get_directory_client("dir").get_directory_properties()
    assert directory.metadata == {"hdi_isfolder": "true"}
    assert await lake.get_directory_client("dir").exists()


async def test_metadata_and_headers_can_be_set_later(lake: FileSystemClient) -> None:
    await put(lake, "file")
    file = lake.get_file_client("file")
    before = (await file.get_file_properties()).etag
    await file.set_metadata({"a": "1"})
    await file.set_http_headers(ContentSettings(content_type="text/plain"))
    properties = await file.get_file_properties()
    assert properties.metadata == {"a": "1"}
    assert properties.content_settings.content_type == "text/plain"
    assert properties.etag != before
    access = await file.get_access_control()
    assert access["permissions"] == "rw-r-----"


async def test_appended_data_is_unseen_until_it_is_flushed(lake: FileSystemClient) -> None:
    await put(lake, "file", b"one")
    file = lake.get_file_client("file")
    await file.append_data(b"two", offset=3)
    assert await get(lake, "file") == b"one"
    await file.flush_data(6)
    assert await get(lake, "file") == b"onetwo"
    await file.flush_data(6)  # a repetition, after a lost answer
    assert await get(lake, "file") == b"onetwo"


async def test_appends_may_arrive_in_any_order(lake: FileSystemClient) -> None:
    file = lake.get_file_client("file")
    await file.create_file()
    await asyncio.gather(*(file.append_data(bytes([48 + i]) * 1000, offset=1000 * i) for i in (2, 0, 1)))
    await file.flush_data(3000)
    assert await get(lake, "file") == b"0" * 1000 + b"1" * 1000 + b"2" * 1000


async def test_a_flush_over_a_gap_beyond_the_end_or_short_of_it_is_refused(lake: FileSystemClient) -> None:
    file = lake.get_file_client("file")
    await file.create_file()
    await file.append_data(b"abc", offset=0)
    await file.append_data(b"ghi", offset=6)
    for position in (9, 4, 2):
        assert await code_of(file.flush_data(position)) == "InvalidFlushPosition"
    await file.flush_data(3, retain_uncommitted_data=True)
    await file.append_data(b"def", offset=3)
    await file.flush_data(9)
    assert await get(lake, "file") == b"abcdefghi"
    assert await code_of(file.append_data(b"x", offset=5)) == "InvalidFlushPosition"


async def test_a_checksum_that_does_not_fit_is_refused(lake: FileSystemClient) -> None:
    file = lake.get_file_client("file")
    await file.create_file()
    await file.append_data(b"abc", offset=0, validate_content=True)
    await file.flush_data(3)
    wrong = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    assert await code_of(file.append_data(b"abc", offset=3, headers=wrong)) == "Md5Mismatch"
    downloaded = await file.download_file(validate_content=True)
    assert await downloaded.readall() == b"abc"


async def test_ranges_are_read_exactly(lake: FileSystemClient) -> None:
    await put(lake, "file", bytes(range(200)))
    file = lake.get_file_client("file")
    for offset, length in ((0, 1), (10, 90), (199, 1), (150, 500)):
        stream = await file.download_file(offset=offset, length=length)
        assert await stream.readall() == bytes(range(200))[offset : offset + length]
    assert await code_of(file.download_file(offset=200, length=1)) == "InvalidRange"
    await lake.get_file_client("empty").create_file()
    assert await get(lake, "empty") == b""


async def test_conditions_guard_writes(lake: FileSystemClient) -> None:
    file = lake.get_file_client("file")
    made = await file.create_file(match_condition=MatchConditions.IfMissing)
    with pytest.raises(ResourceExistsError):
        await file.create_file(match_condition=MatchConditions.IfMissing)
    await file.create_file(etag=str(made["etag"]), match_condition=MatchConditions.IfNotModified)
    with pytest.raises(ResourceModifiedError):
        await file.create_file(etag=str(made["etag"]), match_condition=MatchConditions.IfNotModified)
    with pytest.raises(ResourceModifiedError):
        await file.delete_file(etag=str(made["etag"]), match_condition=MatchConditions.IfNotModified)


async def test_conditions_guard_reads(lake: FileSystemClient) -> None:
    await put(lake, "file")
    file = lake.get_file_client("file")
    now = await file.get_file_properties()
    with pytest.raises(ResourceModifiedError):
        await file.download_file(etag='"0x1"', match_condition=MatchConditions.IfNotModified)
    with pytest.raises(HttpResponseError) as caught:
        await file.get_file_properties(if_modified_since=now.last_modified)
    assert caught.value.status_code == 304


async def test_a_rename_keeps_what_the_file_is_and_replaces_the_target(lake: FileSystemClient) -> None:
    await put(lake, "old name", b"moved")
    await put(lake, "dir/neu=ü", b"replaced")
    file = lake.get_file_client("old name")
    await file.set_metadata({"k": "v"})
    before = await file.get_file_properties()
    renamed = await file.rename_file("lake/dir/neu=ü")
    after = await renamed.get_file_properties()
    assert (after.etag, after.metadata, after.size) == (before.etag, {"k": "v"}, 5)
    assert await get(lake, "dir/neu=ü") == b"moved"
    assert not await file.exists()


async def test_a_rename_is_refused_where_the_service_refuses_it(lake: FileSystemClient) -> None:
    await put(lake, "file")
    await put(lake, "full/file")
    await put(lake, "dir/sub/file")
    file, directory = lake.get_file_client("file"), lake.get_directory_client("dir")
    assert await code_of(lake.get_file_client("no").rename_file("lake/x")) == "SourcePathNotFound"
    assert await code_of(file.rename_file("lake/no/where")) == "RenameDestinationParentPathNotFound"
    assert await code_of(file.rename_file("lake/full")) == "InvalidSourceOrDestinationResourceType"
    assert await code_of(directory.rename_directory("lake/full")) == "DirectoryNotEmpty"
    assert await code_of(directory.rename_directory("lake/dir/sub/below")) == "InvalidRenameSourcePath"
    exclusive = file.rename_file("lake/full/file", match_condition=MatchConditions.IfMissing)
    assert await code_of(exclusive) == "PathAlreadyExists"
    changed = file.rename_file("lake/x", source_etag='"0x1"', source_match_condition=MatchConditions.IfNotModified)
    assert await code_of(changed) == "SourceConditionNotMet"
    assert await get(lake, "file") == b"content"


async def test_a_directory_may_replace_an_empty_one(lake: FileSystemClient) -> None:
    await put(lake, "dir/file")
    await lake.create_directory("empty")
    await lake.get_directory_client("dir").rename_directory("lake/empty")
    assert await get(lake, "empty/file") == b"content"


async def test_listing_goes_through_pages_without_loss_or_repetition(lake: FileSystemClient) -> None:
    names = [f"dir/ü {number:02d}" for number in range(25)]
    await asyncio.gather(*(lake.get_file_client(name).create_file() for name in names))
    pages = lake.get_paths(path="dir", max_results=10).by_page()
    assert [[item.name async for item in page] async for page in pages] == [names[:10], names[10:20], names[20:]]
    top = [(item.name, item.is_directory) async for item in lake.get_paths(recursive=False)]
    assert top == [("dir", True)]
    assert await code_of(anext(aiter(lake.get_paths(path="missing")))) == "PathNotFound"


async def test_a_full_directory_is_deleted_only_as_a_tree(lake: FileSystemClient) -> None:
    await put(lake, "dir/a/b")
    assert await code_of(lake.get_file_client("dir").delete_file()) == "DirectoryNotEmpty"
    await lake.get_directory_client("dir").delete_directory()
    assert [item async for item in lake.get_paths()] == []
    with pytest.raises(ResourceNotFoundError):
        await lake.get_directory_client("dir").delete_directory()


async def test_files_and_directories_do_not_replace_each_other(lake: FileSystemClient) -> None:
    await put(lake, "file")
    await lake.create_directory("dir")
    assert await code_of(lake.create_directory("file")) == "PathConflict"
    assert await code_of(lake.get_file_client("dir").create_file()) == "PathConflict"
    assert await code_of(lake.get_file_client("file/below").create_file()) == "PathConflict"
    assert await code_of(lake.get_file_client("dir").append_data(b"x", offset=0)) == "PathConflict"
    await lake.create_directory("dir")  # again is fine


async def test_a_lease_keeps_others_from_writing(lake: FileSystemClient) -> None:
    await put(lake, "file")
    file = lake.get_file_client("file")
    lease = await file.acquire_lease(lease_duration=-1)
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: file.append_data(b"x", offset=7),
        lambda: file.flush_data(7),
        lambda: file.create_file(),
        lambda: file.delete_file(),
        lambda: file.set_metadata({"a": "1"}),
        lambda: file.rename_file("lake/other"),
    ]
    for write in writes:
        assert await code_of(write()) == "LeaseIdMissing"
    assert await code_of(file.acquire_lease(lease_duration=15)) == "LeaseAlreadyPresent"
    await file.upload_data(b"by the holder", overwrite=True, lease=lease)
    assert await get(lake, "file") == b"by the holder"
    assert (await file.get_file_properties()).lease.state == "leased"
    await lease.release()
    await file.delete_file()


async def test_a_lease_expires_unless_it_is_renewed(lake: FileSystemClient, clock: Clock) -> None:
    await put(lake, "file")
    file = lake.get_file_client("file")
    lease = await file.acquire_lease(lease_duration=15)
    clock.now += 10
    await lease.renew()
    clock.now += 10
    assert await code_of(file.delete_file()) == "LeaseIdMissing"
    clock.now += 10
    assert (await file.get_file_properties()).lease.state == "expired"
    await file.delete_file()


async def test_a_lease_can_be_handed_over_and_broken(lake: FileSystemClient) -> None:
    await put(lake, "file")
    file = lake.get_file_client("file")
    lease = await file.acquire_lease(lease_duration=-1)
    old_id = lease.id
    await lease.change("11111111-2222-3333-4444-555555555555")
    assert await code_of(file.delete_file(lease=old_id)) == "LeaseIdMismatchWithBlobOperation"
    assert await lease.break_lease() == 0
    assert (await file.get_file_properties()).lease.state == "broken"
    assert await code_of(lease.renew()) == "LeaseIsBrokenAndCannotBeRenewed"
    await file.delete_file()
    assert await code_of(put_with_lease(lake, old_id)) == "LeaseNotPresentWithBlobOperation"


async def put_with_lease(lake: FileSystemClient, lease_id: str) -> None:
    await put(lake, "other")
    await lake.get_file_client("other").delete_file(lease=lease_id)


async def test_a_request_without_the_right_signature_is_refused(endpoint: str) -> None:
    for text in (endpoint.replace("AccountKey=", "AccountKey=AAAA"), endpoint.replace("AccountName=", "AccountName=x")):
        async with FileSystemClient.from_connection_string(text, "lake") as stranger:
            with pytest.raises(ClientAuthenticationError) as caught:
                await stranger.create_directory("dir")
            assert caught.value.status_code == 403
    url = endpoint.split("BlobEndpoint=")[1].split(";")[0]
    async with FileSystemClient(url, "lake", credential=None) as stranger:
        assert await code_of(stranger.create_directory("dir")) == "NoAuthenticationInformation"

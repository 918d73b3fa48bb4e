"""The blob calls that other readers make: Arrow (C++), and azure-storage-blob, which adlfs stands on."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobBlock
from azure.storage.blob.aio import ContainerClient


@pytest.fixture
async def blobs(endpoint: str) -> AsyncIterator[ContainerClient]:
    async with ContainerClient.from_connection_string(endpoint, "lake") as client:
        yield client


async def test_a_blob_is_put_read_listed_and_deleted(blobs: ContainerClient) -> None:
    await blobs.upload_blob("dir/sub/ü", b"12345", metadata={"k": "v"})
    assert await (await blobs.download_blob("dir/sub/ü")).readall() == b"12345"
    with pytest.raises(HttpResponseError, match="ErrorCode:BlobAlreadyExists"):
        await blobs.upload_blob("dir/sub/ü", b"again")
    listed = [(item.name, item.size) async for item in blobs.list_blobs(name_starts_with="dir/s")]
    assert listed == [("dir/sub", 0), ("dir/sub/ü", 5)]
    await blobs.delete_blob("dir/sub/ü")
    assert not await blobs.get_blob_client("dir/sub/ü").exists()


async def test_directories_show_as_prefixes(blobs: ContainerClient) -> None:
    for name in ("a/1", "a/2", "b", "c/d/3"):
        await blobs.upload_blob(name, b"")
    assert sorted([item.name async for item in blobs.walk_blobs(delimiter="/")]) == ["a/", "b", "c/"]
    assert [item.name async for item in blobs.walk_blobs(name_starts_with="a/", delimiter="/")] == ["a/1", "a/2"]


async def test_pages_of_blobs_hold_each_name_once(blobs: ContainerClient) -> None:
    names = [f"n{number:02d}" for number in range(12)]
    for name in names:
        await blobs.upload_blob(name, b"")
    pages = blobs.list_blobs(results_per_page=5).by_page()
    assert [[item.name async for item in page] async for page in pages] == [names[:5], names[5:10], names[10:]]


async def test_blocks_become_a_blob_in_the_order_of_their_list(blobs: ContainerClient) -> None:
    blob = blobs.get_blob_client("blob")
    ids = [base64.b64encode(text).decode() for text in (b"one", b"two")]
    await blob.stage_block(ids[1], b"second")
    await blob.stage_block(ids[0], b"first")
    assert not await blob.exists()
    await blob.commit_block_list([BlobBlock(ids[0]), BlobBlock(ids[1])])
    assert await (await blob.download_blob()).readall() == b"firstsecond"
    with pytest.raises(HttpResponseError, match="ErrorCode:InvalidBlockList"):
        await blob.commit_block_list([BlobBlock(ids[0])])


async def test_what_is_not_emulated_is_refused_not_misunderstood(blobs: ContainerClient) -> None:
    await blobs.upload_blob("source", b"1")
    copy = blobs.get_blob_client("copy")
    with pytest.raises(HttpResponseError, match="ErrorCode:UnsupportedOperation"):
        await copy.start_copy_from_url(blobs.get_blob_client("source").url)
    assert not await copy.exists()


async def test_arrow_writes_and_reads_a_partitioned_data_set(endpoint: str) -> None:
    fields = dict(pair.split("=", 1) for pair in endpoint.strip(";").split(";"))
    authority = fields["BlobEndpoint"].split("/")[2]
    await asyncio.to_thread(_round_trip, fields["AccountName"], fields["AccountKey"], authority)


def _round_trip(account: str, key: str, authority: str) -> None:
    lake = pyarrow.fs.AzureFileSystem(
        account, account_key=key, blob_storage_authority=authority, dfs_storage_authority=authority,
        blob_storage_scheme="http", dfs_storage_scheme="http",
    )  # fmt: skip
    table = pa.table({"number": list(range(50_000)), "text": ["some text"] * 50_000})
    lake.create_dir("lake/events/week=1", recursive=True)
    pyarrow.parquet.write_table(table, "lake/events/week=1/part.parquet", filesystem=lake)
    found = pyarrow.dataset.dataset("lake/events", filesystem=lake, partitioning="hive")
    assert found.to_table(filter=pyarrow.dataset.field("number") >= 49_990).num_rows == 10
    assert found.to_table(columns=["number", "text"]).equals(table)
    assert lake.get_file_info("lake/missing").type == pyarrow.fs.FileType.NotFound
    lake.delete_dir("lake/events")
    assert lake.get_file_info(pyarrow.fs.FileSelector("lake", recursive=True)) == []

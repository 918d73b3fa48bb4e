from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from libs.common.blobs import BlobMismatchError, BlobMissingError, ForeignBlobError, open_blob, path_of, store
from libs.common.lake import FolderLake, LakeFileNotFoundError

PATH = "runs/r 1/raw/part-00000.parquet"


@pytest.fixture
def lake(tmp_path: Path) -> FolderLake:
    return FolderLake(tmp_path / "lake")


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local.parquet"
    path.write_bytes(b"content")
    return path


async def test_what_is_stored_comes_back_verified(lake: FolderLake, local: Path, tmp_path: Path) -> None:
    ref = await store(lake, local, PATH, rows=7)
    assert (ref.size_bytes, ref.rows, len(ref.sha256)) == (7, 7, 64)
    assert path_of(lake, ref) == PATH
    async with open_blob(lake, ref, tmp_path) as copy:
        assert copy.read_bytes() == b"content"


async def test_the_same_file_and_path_give_the_same_reference(lake: FolderLake, local: Path) -> None:
    assert await store(lake, local, PATH, 7) == await store(lake, local, PATH, 7)


@pytest.mark.parametrize("content", [b"CONTENT", b"longer content", b""])
async def test_a_file_that_is_not_the_one_referred_to_is_refused(
    lake: FolderLake, local: Path, tmp_path: Path, content: bytes
) -> None:
    ref = await store(lake, local, PATH, 7)
    await lake.put_bytes(content, PATH)
    with pytest.raises(BlobMismatchError):
        async with open_blob(lake, ref, tmp_path):
            pytest.fail("opened")


async def test_a_missing_file_is_looked_for_again(lake: FolderLake, local: Path, tmp_path: Path) -> None:
    ref = await store(lake, local, PATH, 7)
    await lake.delete(PATH)
    with pytest.raises(BlobMissingError) as caught:
        async with open_blob(lake, ref, tmp_path):
            pytest.fail("opened")
    assert caught.value.transient


async def test_another_missing_file_is_not_mistaken_for_this_one(lake: FolderLake, local: Path, tmp_path: Path) -> None:
    ref = await store(lake, local, PATH, 7)
    with pytest.raises(LakeFileNotFoundError):
        async with open_blob(lake, ref, tmp_path):
            raise LakeFileNotFoundError("the user's own")


@pytest.mark.parametrize("suffix", ["", "/", "-else/f", "/../f", "/a/%2e%2e/f"])
async def test_a_reference_outside_the_lake_is_refused(lake: FolderLake, local: Path, suffix: str) -> None:
    ref = msgspec.structs.replace(await store(lake, local, PATH, 7), url=f"{lake.url}{suffix}")
    with pytest.raises(ForeignBlobError):
        path_of(lake, ref)

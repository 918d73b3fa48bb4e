"""What the ADLS lake makes of an account that is slow, busy, broken, or says no."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.common.lake import (
    FileInfo,
    LakeAccessError,
    LakeFileNotFoundError,
    LakeFullError,
    LakeMissingError,
    LakeUnavailableError,
)
from libs.emulators.datalake import listings
from libs.emulators.datalake.account import Account
from libs.emulators.datalake.faults import Fault

from .conftest import EmulatedAccount

BIG = bytes(range(256)) * 40_000  # three chunks


async def test_one_busy_answer_costs_no_more_than_a_moment(emulated: EmulatedAccount) -> None:
    lake = emulated.open_lake()
    emulated.faults.add(Fault(effect="error", operation="path.append", status=503))
    async with asyncio.timeout(5):
        await lake.put_bytes(BIG, "file")
    assert await lake.get_bytes("file") == BIG
    assert emulated.faults.pending == []


@pytest.mark.usefixtures("without_backoff")
@pytest.mark.parametrize("operation", ["path.create", "path.append", "path.flush", "path.rename"])
@pytest.mark.parametrize("effect", ["error", "drop", "lose_answer"])
async def test_a_hiccup_at_any_step_of_a_put_is_bridged(emulated: EmulatedAccount, operation: str, effect: str) -> None:
    lake = emulated.open_lake()
    await lake.put_bytes(b"old", "file")
    emulated.faults.add(Fault(effect=effect, operation=operation))  # type: ignore[arg-type] # from the list above
    await lake.put_bytes(BIG, "file")
    assert emulated.faults.pending == []
    assert await lake.get_bytes("file") == BIG
    assert await lake.list("") == [FileInfo("file", len(BIG))]


@pytest.mark.usefixtures("without_backoff")
@pytest.mark.parametrize("operation", ["path.create", "path.append", "path.flush", "path.rename"])
async def test_an_upload_that_fails_for_good_changes_nothing(emulated: EmulatedAccount, operation: str) -> None:
    lake = emulated.open_lake()
    await lake.put_bytes(b"old", "dir/file")
    emulated.faults.add(Fault(effect="drop", operation=operation, after_bytes=100_000, times=10))
    with pytest.raises(LakeUnavailableError, match="dir/file") as caught:
        await lake.put_bytes(BIG, "dir/file")
    assert caught.value.transient
    assert await lake.get_bytes("dir/file") == b"old"
    assert await lake.list("") == [FileInfo("dir/file", 3)]
    assert _all_paths(emulated.account) == ["dir", "dir/file"]


async def test_an_upload_cut_off_by_a_kill_is_never_seen(emulated: EmulatedAccount) -> None:
    """A killed process cleans nothing up: here the cancelled put cannot either, because the account answers nothing."""
    lake = emulated.open_lake()
    await lake.put_bytes(b"old", "dir/file")
    emulated.faults.add(Fault(effect="delay", operation="path.append", skip=1, seconds=60))
    emulated.faults.add(Fault(effect="error", operation="path.delete", times=9))
    put = asyncio.create_task(lake.put_bytes(BIG, "dir/file"))
    await _until(lambda: emulated.faults.pending[0].operation == "path.delete")
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    assert len(_all_paths(emulated.account)) == 3  # the upload is there …
    assert await lake.list("") == [FileInfo("dir/file", 3)]  # … and not seen
    assert await lake.get_bytes("dir/file") == b"old"
    emulated.faults.clear()
    assert await lake.sweep(older_than_sec=3600) == 0  # it might still be at work
    assert await lake.sweep(older_than_sec=-5) == 1
    assert _all_paths(emulated.account) == ["dir", "dir/file"]


@pytest.mark.usefixtures("without_backoff")
async def test_a_rename_whose_answer_is_lost_has_taken_place(emulated: EmulatedAccount) -> None:
    lake = emulated.open_lake()
    await lake.put_bytes(b"1", "a")
    emulated.faults.add(Fault(effect="lose_answer", operation="path.rename"))
    await lake.rename("a", "b", overwrite=False)
    assert await lake.get_bytes("b") == b"1"


@pytest.mark.usefixtures("without_backoff")
async def test_a_directory_rename_whose_answer_is_lost_has_taken_place(emulated: EmulatedAccount) -> None:
    lake = emulated.open_lake()
    await lake.put_bytes(b"1", "a/file")
    emulated.faults.add(Fault(effect="lose_answer", operation="path.rename"))
    await lake.rename_directory("a", "b")
    assert await lake.list("") == [FileInfo("b/file", 1)]


@pytest.mark.usefixtures("without_backoff")
async def test_a_delete_whose_answer_is_lost_has_taken_place(emulated: EmulatedAccount) -> None:
    lake = emulated.open_lake()
    await lake.put_bytes(b"1", "a/file")
    emulated.faults.add(Fault(effect="lose_answer", operation="path.delete"))
    await lake.delete("a")
    assert not await lake.exists("a")


async def test_a_download_that_breaks_off_is_resumed(emulated: EmulatedAccount, tmp_path: Path) -> None:
    lake = emulated.open_lake()
    await lake.put_bytes(BIG, "file")
    emulated.faults.add(Fault(effect="drop", operation="path.read", skip=1, after_bytes=100_000))
    await lake.get_file("file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == BIG
    assert emulated.faults.pending == []


@pytest.mark.usefixtures("without_backoff")
async def test_a_download_that_fails_for_good_leaves_nothing(emulated: EmulatedAccount, tmp_path: Path) -> None:
    lake = emulated.open_lake()
    await lake.put_bytes(BIG, "file")
    emulated.faults.add(Fault(effect="error", operation="path.read", skip=1, times=20, status=500))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(LakeUnavailableError):
        async with lake.local_copy("file", scratch):
            pytest.fail("there is nothing to read")
    assert list(scratch.iterdir()) == []


async def test_a_file_that_is_replaced_while_it_is_read_is_read_again(emulated: EmulatedAccount) -> None:
    lake = emulated.open_lake()
    await lake.put_bytes(b"o" * len(BIG), "file")
    emulated.faults.add(Fault(effect="delay", operation="path.read", skip=1, seconds=60))
    reading = asyncio.create_task(lake.get_bytes("file"))
    await _until(lambda: not emulated.faults.pending)
    await lake.put_bytes(BIG, "file")
    emulated.faults.clear()
    assert await reading == BIG


@pytest.mark.usefixtures("without_backoff")
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (503, "ServerBusy", LakeUnavailableError),
        (500, "InternalError", LakeUnavailableError),
        (429, "TooManyRequests", LakeUnavailableError),
        (408, "OperationTimedOut", LakeUnavailableError),
        (403, "AuthorizationPermissionMismatch", LakeAccessError),
        (401, "InvalidAuthenticationInfo", LakeAccessError),
        (404, "FilesystemNotFound", LakeMissingError),
        (413, "AccountQuotaExceeded", LakeFullError),
    ],
)
async def test_each_refusal_has_its_kind(
    emulated: EmulatedAccount, status: int, code: str, error: type[Exception]
) -> None:
    lake = emulated.open_lake()
    emulated.faults.add(Fault(effect="error", operation="path.create", status=status, code=code, times=9))
    with pytest.raises(error, match="file"):
        await lake.put_bytes(b"1", "file")


async def test_a_missing_container_is_told_as_such_by_every_operation(emulated: EmulatedAccount) -> None:
    lake = emulated.open_lake(container="elsewhere")
    calls = (lake.put_bytes(b"", "a"), lake.get_bytes("a"), lake.exists("a"), lake.list(""), lake.list("x"))
    for call in (*calls, lake.delete("a"), lake.rename("a", "b"), lake.rename_directory("a", "b")):
        with pytest.raises(LakeMissingError, match="elsewhere"):
            await call


async def test_a_wrong_key_is_told_without_the_key(emulated: EmulatedAccount) -> None:
    wrong = "d3JvbmcgIGtleQ=="
    secret = emulated.connection_string.replace(emulated.account.key, wrong)
    lake = emulated.open_lake(connection_string=secret)
    with pytest.raises(LakeAccessError) as caught:
        await lake.put_bytes(b"1", "file")
    assert wrong not in f"{caught.value}{caught.value.next_step}{lake.url}"
    assert caught.value.transient is False


@pytest.mark.usefixtures("without_backoff")
async def test_an_account_that_does_not_answer_is_a_transient_matter(emulated: EmulatedAccount) -> None:
    port = emulated.connection_string.split(":")[-1].split("/")[0]
    lake = emulated.open_lake(connection_string=emulated.connection_string.replace(f":{port}/", ":1/"))
    with pytest.raises(LakeUnavailableError) as caught:
        await lake.list("")
    assert caught.value.transient


async def test_two_prefixes_of_one_container_do_not_see_each_other(emulated: EmulatedAccount) -> None:
    one, other = emulated.open_lake("one"), emulated.open_lake("one-and-a-half")
    await one.put_bytes(b"1", "file")
    assert await other.list("") == []
    with pytest.raises(LakeFileNotFoundError):
        await other.get_bytes("file")
    assert await emulated.open_lake().list("") == [FileInfo("one/file", 1)]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 # it comes about inside the emulator, which tells nobody
            await asyncio.sleep(0.005)


def _all_paths(account: Account) -> list[str]:
    return [node.path for node in account.namespace.children("lake", "", after="", limit=99, recursive=True)]


async def test_a_directory_larger_than_one_answer_is_listed_whole(
    emulated: EmulatedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account lists 5,000 paths at a time; here it lists 3, because it takes long to make so many files."""
    monkeypatch.setattr(listings, "_MAX_PAGE", 3)
    lake = emulated.open_lake("prefix")
    names = [f"dir/{number:02d}/file" for number in range(8)]
    for name in names:
        await lake.put_bytes(b"x", name)
    assert [info.path for info in await lake.list("dir")] == names
    assert [info.path for info in await lake.list("")] == names

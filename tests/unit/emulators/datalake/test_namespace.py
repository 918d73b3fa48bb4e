"""The tree of names, without HTTP."""

import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.emulators.datalake.account import Account
from libs.emulators.datalake.namespace import Namespace
from libs.emulators.datalake.nodes import Lease, Node


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    account = Account(tmp_path, clock=lambda: 1000.0)
    account.ensure_container("lake")
    yield account
    account.close()


def add(namespace: Namespace, *paths: str) -> None:
    for path in paths:
        namespace.make_directories("lake", path, 1.0)
        namespace.save(Node("lake", path, is_directory=False, created_at=1.0, modified_at=1.0, content=path))


def listed(
    namespace: Namespace, directory: str = "", after: str = "", limit: int = 99, recursive: bool = True
) -> list[str]:
    nodes = namespace.children("lake", directory, after=after, limit=limit, recursive=recursive)
    return [node.path for node in nodes]


def test_a_node_comes_back_as_it_was_saved(account: Account) -> None:
    node = Node(
        "lake", "a/ü b", is_directory=False, created_at=1.5, modified_at=2.5, content="c", size=7,
        headers={"content-type": "text/plain"}, metadata={"k": "v"},
        lease=Lease("id", math.inf, math.inf, breaking=True),
    )  # fmt: skip
    account.namespace.save(node)
    assert account.namespace.find("lake", "a/ü b") == node


def test_a_listing_holds_what_is_below_a_directory_and_no_look_alikes(account: Account) -> None:
    add(account.namespace, "d/a", "d/s/x", "d-1/y", "d0", "dd", "c")
    assert listed(account.namespace, "d") == ["d/a", "d/s", "d/s/x"]
    assert listed(account.namespace, "d", recursive=False) == ["d/a", "d/s"]
    assert listed(account.namespace, recursive=False) == ["c", "d", "d-1", "d0", "dd"]


def test_a_listing_goes_on_where_the_last_page_ended(account: Account) -> None:
    add(account.namespace, "a", "b", "c", "d")
    assert listed(account.namespace, limit=2) == ["a", "b"]
    assert listed(account.namespace, after="b", limit=2) == ["c", "d"]
    assert listed(account.namespace, after="d") == []


def test_moving_a_directory_moves_all_below_and_nothing_beside(account: Account) -> None:
    add(account.namespace, "from/a", "from/s/b", "from-not/c")
    account.namespace.move_tree(("lake", "from"), ("lake", "to"))
    assert listed(account.namespace) == ["from-not", "from-not/c", "to", "to/a", "to/s", "to/s/b"]
    assert listed(account.namespace, "to/s", recursive=False) == ["to/s/b"]
    assert listed(account.namespace, recursive=False) == ["from-not", "to"]


def test_moving_a_file_between_directories_changes_its_parent(account: Account) -> None:
    add(account.namespace, "one/a", "two/b")
    account.namespace.move_tree(("lake", "one/a"), ("lake", "two/c"))
    assert listed(account.namespace, "two", recursive=False) == ["two/b", "two/c"]
    assert not account.namespace.has_children("lake", "one")


def test_removing_a_tree_tells_which_contents_are_free(account: Account) -> None:
    add(account.namespace, "d/a", "d/s/b", "d0/c")
    assert sorted(filter(None, account.namespace.remove_tree("lake", "d"))) == ["d/a", "d/s/b"]
    assert listed(account.namespace) == ["d0", "d0/c"]


def test_a_file_in_the_place_of_a_directory_is_told(account: Account) -> None:
    add(account.namespace, "a/file")
    assert account.namespace.make_directories("lake", "a/file/below/x", 1.0) == "a/file"
    assert account.namespace.make_directories("lake", "a/other/x", 1.0) is None


def test_a_transaction_that_fails_leaves_nothing(account: Account) -> None:
    def add_a_file_and_a_container_that_exists() -> None:
        with account.transaction():
            add(account.namespace, "a")
            account.namespace.add_container("lake", 1.0)

    with pytest.raises(sqlite3.IntegrityError):
        add_a_file_and_a_container_that_exists()
    assert listed(account.namespace) == []


def test_an_account_that_is_opened_again_drops_content_that_nobody_names(tmp_path: Path) -> None:
    first = Account(tmp_path)
    first.ensure_container("lake")
    add(first.namespace, "kept")
    first.close()
    for name in ("kept", "orphan"):
        (tmp_path / "contents" / name).write_bytes(b"1")
    second = Account(tmp_path)
    assert [file.name for file in (tmp_path / "contents").iterdir()] == ["kept"]
    assert listed(second.namespace) == ["kept"]
    second.close()

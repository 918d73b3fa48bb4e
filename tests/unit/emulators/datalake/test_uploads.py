"""Extents: what joins on to the end of a file, and what does not."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from libs.emulators.datalake.database import connect
from libs.emulators.datalake.uploads import Block, Uploads


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    with closing(connect(tmp_path / "names.sqlite")) as connection:
        yield Uploads(connection)


def test_nothing_sent_reaches_no_further_than_the_end(uploads: Uploads) -> None:
    assert uploads.reach("c", 10) == 10


def test_extents_join_in_any_order_of_arrival(uploads: Uploads) -> None:
    uploads.add_extent("c", 20, 5)
    uploads.add_extent("c", 10, 10)
    uploads.add_extent("other", 25, 99)
    assert uploads.reach("c", 10) == 25


def test_a_gap_ends_the_reach(uploads: Uploads) -> None:
    uploads.add_extent("c", 0, 10)
    uploads.add_extent("c", 11, 10)
    assert uploads.reach("c", 0) == 10


def test_a_repeated_append_counts_once(uploads: Uploads) -> None:
    uploads.add_extent("c", 0, 10)
    uploads.add_extent("c", 0, 10)
    assert uploads.reach("c", 0) == 10


def test_blocks_belong_to_their_path_until_dropped(uploads: Uploads) -> None:
    uploads.add_block("lake", "a", "id", Block("file1", 1))
    uploads.add_block("lake", "a", "id", Block("file2", 2))
    uploads.add_block("lake", "b", "id", Block("file3", 3))
    assert uploads.blocks("lake", "a") == {"id": Block("file2", 2)}
    uploads.drop_blocks("lake", "a")
    assert uploads.blocks("lake", "a") == {}
    assert uploads.drop_all_blocks("lake") == ["file3"]

"""Checksums of local files."""

import hashlib
from pathlib import Path

import pytest

from libs.common.lake import sha256_file


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 10_000])
def test_the_digest_is_that_of_the_whole_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    sha256, size_bytes = sha256_file(tmp_path / "file")
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert size_bytes == len(content)

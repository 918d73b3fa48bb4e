"""The folder of a process for temporary files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from libs.common.scratch import process_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from libs.common.scratch import process_folder
with process_folder(Path(sys.argv[1]), "gate") as folder:
    (folder / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_is_gone_with_all_that_is_in_it_when_its_process_ends(tmp_path: Path) -> None:
    with process_folder(tmp_path, "gate") as folder:
        (folder / "half").touch()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next_of_its_name(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    with process_folder(tmp_path, "loader"):
        assert left.exists()
    with process_folder(tmp_path, "gate") as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_replicas_that_share_a_disk_leave_each_other_alone(tmp_path: Path) -> None:
    with process_folder(tmp_path, "gate") as first:
        (first / "half").touch()
        with process_folder(tmp_path, "gate") as second:
            assert second != first
        assert (first / "half").exists()

"""Ends the processes of a local run whose command was killed before it could.

`python -m libs.cli.keeper` is told on its standard input which process groups run (`+1234`) and which have ended
(`-1234`). When the input ends, because the command did, it terminates those that are left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys


class Keeper:
    """The command's end of it."""

    def __init__(self) -> None:
        # A session of its own: Ctrl-C is for the command, which stops its children in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "libs.cli.keeper"], stdin=subprocess.PIPE, start_new_session=True, text=True
        )

    def started(self, group: int) -> None:
        """A process group is there to be looked after."""
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        """It is gone, and its number may soon be somebody else's."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Let the keeper terminate what is left, and end."""
        self._process.communicate()

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # the keeper was killed; the run itself needs none
                self._process.stdin.write(line)
                self._process.stdin.flush()


def main() -> None:
    """Listen until the input ends, then terminate the groups that run."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)


if __name__ == "__main__":
    main()

"""Where the command writes: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_WIDTH = 200
"""Columns where there is no terminal, so that a pipe or a log never gets a run id cut short."""


def output() -> Console:
    """For results."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def errors() -> Console:
    """For progress and errors."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else PIPE_WIDTH, highlight=False)

"""`retl check-api`."""

from __future__ import annotations

import subprocess
import sys

import typer


def check_api() -> None:
    """Send one request to the events API: is it reachable, is the key accepted, is the shape recognised?"""
    # The extractor's own client in its own process: what passes here is what will run.
    status = subprocess.run([sys.executable, "-m", "services.extractor", "check-api"], check=False).returncode
    raise typer.Exit(status)

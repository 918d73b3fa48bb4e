"""The end of a run for a person to read, on standard output."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from libs.cli.progress import TITLES
from libs.cli.result import RunResult
from libs.common.state import Stage

_FILES_SHOWN = 5


def print_summary(result: RunResult, console: Console) -> None:
    """What happened, what was checked, where the files are, what Salesforce has."""
    colour = "green" if result.succeeded else "red"
    seconds = "" if result.seconds is None else f" in {result.seconds:.1f} s"
    console.print(
        f"\n[bold {colour}]{result.status}[/] week {result.week_start} to {result.week_end}{seconds} "
        f"[dim](run {result.run_id})[/]"
    )
    if result.rows_fetched is not None:
        rate = "" if result.reject_rate_pct is None else f" ({result.reject_rate_pct:.2f} %)"
        console.print(
            f"{result.rows_fetched:,} events fetched, {_count(result.rows_valid)} valid, "
            f"{_count(result.rows_rejected)} rejected{rate}"
        )
    console.print(_stages(result))
    if result.checks:
        console.print(_checks(result))
    sync = result.sync
    if Stage.SALESFORCE_SYNC.value in result.stages:
        console.print(
            f"Salesforce: {sync.created:,} created, {sync.updated:,} updated, {sync.unchanged:,} unchanged, "
            f"{sync.failed:,} failed"
        )
    for kind, files in result.files.items():
        for path in files[:_FILES_SHOWN]:
            console.print(f"{kind}: {escape(path)}", soft_wrap=True)
        if len(files) > _FILES_SHOWN:
            console.print(f"{kind}: and {len(files) - _FILES_SHOWN} more")
    if result.would_change is not None:
        console.print(_would_change(result.would_change))
    if result.checkpoint.next_week_start:
        console.print(f"next week: {result.checkpoint.next_week_start} to {result.checkpoint.next_week_end}")


def print_error(result: RunResult, console: Console) -> None:
    """Why it failed and what to do, on the console of errors."""
    if result.error is not None:
        console.print(f"[bold red]{result.error.code}[/]: {escape(result.error.message)}", soft_wrap=True)
        console.print(f"Next: {escape(result.error.next_step)}", soft_wrap=True)


def _would_change(change: dict[str, Any]) -> str:
    """What the rehearsed run would have done to the week that readers see, and to the checkpoint."""
    replaced = change["replaced_run"]
    week = (
        "the week is new" if replaced is None else f"run {replaced} ({_count(change['replaced_rows'])} rows) replaced"
    )
    moved = "the checkpoint not moved" if change["next_week"] is None else f"the next week {change['next_week']}"
    files = sum(len(paths) for paths in change["files"].values())
    return f"nothing was published; it would have been: {files} files, {week}, {moved}"


def _stages(result: RunResult) -> Table:
    table = Table("stage", "status", box=None, pad_edge=False)
    table.add_column("rows", justify="right")
    table.add_column("seconds", justify="right")
    for stage, title in TITLES.items():
        row = result.stages.get(stage.value)
        if row is not None:
            table.add_row(title, row.status, _count(row.rows), "" if row.seconds is None else f"{row.seconds:.2f}")
    return table


def _checks(result: RunResult) -> Table:
    table = Table("check", "severity", "", box=None, pad_edge=False)
    table.add_column("value", justify="right")
    table.add_column("threshold", justify="right")
    for check in result.checks:
        mark = "[green]passed[/]" if check["passed"] else "[red]failed[/]"
        table.add_row(
            str(check["name"]), str(check["severity"]), mark, _plain(check["value"]), _plain(check["threshold"])
        )
    return table


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _plain(value: object) -> str:
    return f"{value:,.12g}" if isinstance(value, int | float) else ""

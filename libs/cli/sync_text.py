"""What `retl sync` found, for a person to read."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from libs.common.synclog import Accepted, CustomerHistory, SyncChange
from libs.common.week import Week


def print_history(customer: str, week: Week, history: CustomerHistory, console: Console) -> None:
    """What Salesforce holds, and every sending that led there, the oldest first."""
    console.print(f"customer {escape(customer)}, week {week}")
    for accepted in history.accepted:
        console.print(_held(accepted))
        console.print(_values(accepted.values))
    if not history.accepted:
        console.print("Salesforce has accepted nothing of this customer in this week.")
    for key in history.under_way:
        console.print(f"[yellow]under way:[/] {escape(key)} was about to be sent; its outcome is not recorded yet")
    if not history.changes:
        return
    console.print("\nSendings, the oldest first")
    for change in history.changes:
        console.print(f"  {_sending(change)}", soft_wrap=True)
    last = history.changes[-1]
    if last.status != "accepted":
        console.print(f"\nNot taken: the values of run {escape(last.run_id)}")
        console.print(_values(last.payload))


def print_preview(found: dict[str, Any], console: Console) -> None:
    """Counts, then samples: of a changed row what Salesforce holds beside what it would hold."""
    console.print(f"week {found['week_start']}..{found['week_end']}, run {found['run_id']} → {escape(found['object'])}")
    if found["first_sync"]:
        console.print("There is no snapshot of this week yet: nothing of it was sent before.")
    figures = ("rows", "create", "update", "unchanged", "invalid", "absent")
    console.print(", ".join(f"{found[name]:,} {name}" for name in figures))
    cost = found["cost"]
    console.print(f"about {cost['api_calls']:,} API calls and {cost['bulk_batches']:,} Bulk batches")
    for kind in ("create", "update"):
        for sample in found["samples"][kind]:
            console.print(f"\n{kind} {escape(sample['external_id'])}")
            console.print(_differences(sample["fields"], with_old=kind == "update"))
    for sample in found["samples"]["invalid"]:
        console.print(f"\ninvalid {escape(str(sample['external_id']))}: {sample['code']} in {sample['field']}")


def _held(accepted: Accepted) -> str:
    doubt = ", [yellow]in doubt: a later sending is not accounted for yet[/]" if accepted.in_doubt else ""
    return (
        f"Salesforce holds {escape(accepted.external_id)} as {accepted.salesforce_id}, "
        f"accepted in run {escape(accepted.run_id)}{doubt}"
    )


def _sending(change: SyncChange) -> str:
    said = f" {change.code}: {escape(change.message or '')} ({change.kind})" if change.code else ""
    way = f"job {change.job_id}" if change.job_id else "not sent" if change.status == "invalid" else "Collections API"
    times = f", {change.attempts} times" if change.attempts > 1 else ""
    return f"run {escape(change.run_id)}: {change.operation or '-'} {change.status}{said}, {way}{times}"


def _values(values: dict[str, str | None]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in values.items():
        table.add_row(f"  {name}", _shown(value))
    return table


def _differences(fields: dict[str, list[str | None]], *, with_old: bool) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, (old, new) in fields.items():
        table.add_row(f"  {name}", *([_shown(old), "→"] if with_old else []), _shown(new))
    return table


def _shown(value: str | None) -> str:
    return "-" if value is None else escape(value)

"""What a dry run tells a person."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from typing import Any

import pytest
from rich.console import Console

from libs.cli.result import result_of
from libs.cli.summary import print_summary
from libs.common.messages import RunOptions
from libs.common.state import Run, RunStatus, Stage, StageRow, StageStatus
from libs.common.week import Week

AT = datetime(2026, 1, 12, 6, tzinfo=UTC)
FILES = {"events": ["a", "b"], "rejects": [], "signals": ["c"]}


def shown(details: dict[str, Any]) -> str:
    """The summary of a run whose gate left these details."""
    run = Run(
        run_id="r1",
        pipeline_name="p",
        week=Week.of(date(2026, 1, 5)),
        status=RunStatus.SUCCESS,
        options=RunOptions(dry_run=True),
        requested_by="test",
        requested_at=AT,
        correlation_id="r1",
        started_at=AT,
        active_since=AT,
    )
    gate = StageRow(
        run_id="r1", stage=Stage.QUALITY_GATE, status=StageStatus.SUCCESS, attempts=1, started_at=AT, details=details
    )
    console = Console(file=io.StringIO(), width=300)
    print_summary(result_of(run, [gate], None, lake_root="/lake"), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"replaced_run": None, "replaced_rows": None, "next_week": "2026-01-12..2026-01-18"},
            "it would have been: 3 files, the week is new, the next week 2026-01-12..2026-01-18",
        ),
        (
            {"replaced_run": "r0", "replaced_rows": 1234, "next_week": None},
            "it would have been: 3 files, run r0 (1,234 rows) replaced, the checkpoint not moved",
        ),
    ],
)
def test_a_rehearsal_tells_what_would_have_changed(change: dict[str, Any], told: str) -> None:
    assert f"nothing was published; {told}\n" in shown({"would_change": {"files": FILES, **change}})


def test_a_run_that_is_none_tells_nothing_of_the_kind() -> None:
    assert "would have been" not in shown({})

"""A week through the containers is the week that `retl demo` makes, and the stack bears more than one."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.cli.publishing import publish, week_request
from libs.cli.stack import EventsEmulator, LocalStack
from libs.cli.watch import follow
from libs.common.messages import RunOptions
from libs.common.state import open_state
from libs.common.week import Week
from tests.e2e.stack import EVENTS, PARTS, Stack, published_files, salesforce_records, totals

pytestmark = pytest.mark.timeout(400)


async def through_processes(folder: Path, run: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """The same request through the processes of a local run: its published files and Salesforce's records."""
    stack = LocalStack(
        folder, {"PART_MAX_EVENTS": str(EVENTS // PARTS)}, lambda _text: None, events=EventsEmulator(EVENTS)
    )
    week = Week.of(datetime.fromisoformat(run["week_start"]).date())
    try:
        await stack.start()
        settings = stack.settings()
        request = week_request(settings.pipeline_name, week, RunOptions(), datetime.fromisoformat(run["requested_at"]))
        ids = {"run_id": run["run_id"], "correlation_id": run["run_id"]}
        await publish(settings, msgspec.structs.replace(request, **ids))
        state = open_state(settings.state_url)
        await follow(state, run["run_id"], lambda _snapshot: None)
        await state.aclose()
        records = salesforce_records(stack.environment["SF_LOGIN_URL"], week.start)
        return await published_files(stack.lake.as_uri(), week.start), records
    finally:
        await stack.stop()


def test_a_week_equals_the_same_week_of_a_local_run_file_by_file_and_record_by_record(
    stack: Stack, tmp_path: Path
) -> None:
    monday = stack.next_monday()
    result = stack.publish(monday).result()
    assert result["status"] == "SUCCESS_WITH_REJECTS", result["error"]
    (run,) = stack.runs(monday)
    files, records = asyncio.run(through_processes(tmp_path, run))
    assert stack.published_files(monday) == files
    assert stack.records(monday) == records
    assert len(records) == result["sync"]["created"]


def test_three_validators_share_the_parts(stack: Stack, undisturbed: dict[str, Any]) -> None:
    stack.compose("up", "--detach", "--no-recreate", "--wait", "--scale", "validator=3")
    try:
        result = stack.publish(stack.next_monday()).result()
        log = stack.compose("logs", "--no-color", "validator")
    finally:
        stack.compose("up", "--detach", "--no-recreate", "--wait", "--scale", "validator=1")
    assert totals(result) == totals(undisturbed)
    done = [line.split("|")[0] for line in log.splitlines() if '"action":"done"' in line and result["run_id"] in line]
    assert len(done) == PARTS
    assert len(set(done)) > 1


def test_two_weeks_at_once_do_not_mix(stack: Stack, undisturbed: dict[str, Any]) -> None:
    mondays = [stack.next_monday(), stack.next_monday()]
    results = [publication.result() for publication in [stack.publish(monday) for monday in mondays]]
    assert [result["week_start"] for result in results] == [monday.isoformat() for monday in mondays]
    for monday, result in zip(mondays, results, strict=True):
        assert totals(result)[0] == totals(undisturbed)[0]
        assert len(stack.records(monday)) == result["sync"]["created"]


def test_data_survive_down_and_up(stack: Stack, undisturbed: dict[str, Any]) -> None:
    monday = datetime.fromisoformat(str(undisturbed["week_start"])).date()
    before = stack.runs(monday), stack.published_files(monday), stack.records(monday)
    stack.compose("down")
    stack.compose("up", "--detach", "--wait")
    assert (stack.runs(monday), stack.published_files(monday), stack.records(monday)) == before
    again = stack.publish(monday).result()
    assert again["status"] == "SKIPPED"
    following = stack.publish(stack.next_monday()).result()
    assert totals(following)[0] == totals(undisturbed)[0]
    assert timedelta(0) < datetime.fromisoformat(following["week_start"]) - datetime.fromisoformat(str(monday))

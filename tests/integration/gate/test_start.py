"""What is told before and around a week: a rule that cannot work, a checkpoint that has not moved for long."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from libs.cli.__main__ import app
from libs.common.clock import SystemClock
from libs.common.messages import WeekRequested
from libs.common.settings import load_settings
from libs.common.state import RunStatus
from services.extractor.handlers import Deps as ExtractorDeps
from services.extractor.handlers import handle as extract
from services.extractor.settings import ExtractorSettings
from services.gate.__main__ import build
from services.gate.rules import RuleError
from tests.integration.gate.conftest import WEEK, Gate, Staged

NOW = datetime.now(UTC)


async def test_a_gate_with_a_rule_that_cannot_work_does_not_start(gate: Gate, tmp_path: Path) -> None:
    rules = gate.deps().settings.gate_rules_file.read_text()
    (tmp_path / "rules.toml").write_text(rules.replace("FROM events WHERE price < 0", "FROM events WHERE prise < 0"))
    settings = gate.deps(gate_rules_file=tmp_path / "rules.toml").settings
    with pytest.raises(RuleError, match=r"rules\.toml: rule 'price_not_negative'.*prise"):
        async with build(settings, gate.kit):
            raise AssertionError("it started")


async def test_a_gate_with_the_shipped_rules_starts_and_handles(gate: Gate) -> None:
    message = await gate.staged("r1", Staged(events=gate.whole_week()))
    async with build(gate.deps().settings, gate.kit) as handler:
        await handler(message)
    assert [sent.run_id for sent in gate.announced()] == ["r1"]


@pytest.fixture
async def checkpoint_moved_at(gate: Gate, request: pytest.FixtureRequest) -> datetime:
    """A pipeline whose checkpoint moved so many days ago."""
    at = NOW - timedelta(days=request.param)
    await gate.kit.state.advance_checkpoint("p", WEEK, at)
    return at


@pytest.mark.parametrize(("checkpoint_moved_at", "stale"), [(15, True), (13, False)], indirect=["checkpoint_moved_at"])
def test_retl_status_tells_whether_the_checkpoint_is_stale(
    gate: Gate, checkpoint_moved_at: datetime, stale: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_URL", gate.kit.settings.state_url)
    monkeypatch.setenv("PIPELINE_NAME", "p")
    shown = CliRunner().invoke(app, ["status"])
    told = json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)
    assert ("stale: not moved for more than 14 days" in " ".join(shown.stdout.split())) == stale
    assert (told["checkpoint"]["stale"], told["checkpoint"]["updated_at_utc"]) == (
        stale,
        checkpoint_moved_at.isoformat().replace("+00:00", "Z"),
    )


class Later(SystemClock):
    """The clock of a machine on which so many days have passed."""

    def __init__(self, days: int) -> None:
        self._days = timedelta(days=days)

    def now(self) -> datetime:
        return super().now() + self._days


@pytest.mark.parametrize(("days", "warnings"), [(15, 1), (13, 0)])
async def test_a_run_that_starts_on_a_stale_checkpoint_says_so(gate: Gate, days: int, warnings: int) -> None:
    await gate.gated("old", Staged(events=gate.whole_week()))
    kit = replace(gate.kit, clock=Later(days))
    places = {"state_url": kit.settings.state_url, "lake_url": kit.settings.lake_url}
    settings = load_settings(ExtractorSettings, _env_file=None, api_base_url="http://127.0.0.1:9", **places)
    request = WeekRequested(
        run_id="again",
        pipeline_name="p",
        week_start=WEEK.start,
        week_end=WEEK.end,
        correlation_id="again",
        requested_by="test",
        requested_at=kit.clock.now(),
    )
    source: Any = None  # a week that was done is skipped, so nothing is fetched
    with capture_logs() as logs:
        await extract(request, ExtractorDeps(kit=kit, settings=settings, source=source))
    told = [log for log in logs if log["event"] == "checkpoint_stale"]
    assert [log["next_week"] for log in told] == [str(WEEK.next())] * warnings
    assert (await gate.run("again")).status is RunStatus.SKIPPED

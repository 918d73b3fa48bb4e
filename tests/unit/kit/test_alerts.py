from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import structlog
from aiohttp import web
from pydantic import SecretStr

from libs.common.alerts import REPEAT_AFTER_SEC, AlertKind, Alerts
from libs.common.messages import RunOptions
from libs.common.metrics import Metrics
from libs.common.state import Failure, Run, RunStatus, Stage
from libs.common.week import Week
from tests.unit.worker.harness import NOW, ManualClock

FAILURE = Failure("bad_shape", "No list of events.", "Fix the API.")
RUN = Run(
    run_id="r-1",
    pipeline_name="p",
    week=Week.of(datetime(2025, 1, 6, tzinfo=UTC).date()),
    status=RunStatus.FAILED,
    options=RunOptions(),
    requested_by="t",
    requested_at=NOW,
    correlation_id="c",
    started_at=NOW,
    active_since=NOW,
)


class Told:
    """Alerts with their log and metrics captured."""

    def __init__(self, webhook: str | None = None) -> None:
        self.log = structlog.testing.CapturingLogger()
        self.clock = ManualClock()
        self.metrics = Metrics("x")
        self.alerts = Alerts(
            log=structlog.wrap_logger(self.log, processors=[lambda _l, _m, event: ((), dict(event))]),
            clock=self.clock,
            metrics=self.metrics,
            webhook=SecretStr(webhook) if webhook else None,
        )

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [call.kwargs for call in self.log.calls]


async def test_an_alert_is_an_error_line_with_code_text_and_next_step() -> None:
    told = Told()
    await told.alerts.send(RUN, Stage.EXTRACT, FAILURE, AlertKind.RUN_FAILED)
    (line,) = told.lines
    assert told.log.calls[0].method_name == "error"
    assert (
        line.items()
        >= {
            "kind": "run_failed",
            "run_id": "r-1",
            "stage": "EXTRACT",
            "code": "bad_shape",
            "text": "No list of events.",
            "next_step": "Fix the API.",
        }.items()
    )


async def test_the_same_alert_is_not_repeated_for_a_while() -> None:
    told = Told()
    for _ in range(3):
        await told.alerts.send(RUN, Stage.EXTRACT, FAILURE, AlertKind.RUN_FAILED)
    assert len(told.lines) == 1
    await told.clock.advance(REPEAT_AFTER_SEC)
    await told.alerts.send(RUN, Stage.EXTRACT, FAILURE, AlertKind.RUN_FAILED)
    assert len(told.lines) == 2


async def test_the_webhook_gets_what_an_operator_needs(unused_tcp_port: int) -> None:
    posted: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        posted.append(await request.json())
        return web.Response()

    runner = await _serve(take, unused_tcp_port)
    told = Told(f"http://127.0.0.1:{unused_tcp_port}/services/T0/hunter2")
    await told.alerts.send(RUN, Stage.EXTRACT, FAILURE, AlertKind.RUN_FAILED)
    await told.alerts.aclose()
    await runner.cleanup()
    (body,) = posted
    assert all(part in body["text"] for part in ("run failed", "2025-01-06", "EXTRACT", "bad_shape", "Fix the API."))


async def test_a_webhook_that_fails_is_noted_without_its_address_and_harms_nobody(unused_tcp_port: int) -> None:
    told = Told(f"http://127.0.0.1:{unused_tcp_port}/services/T0/hunter2")
    await told.alerts.send(None, None, FAILURE, AlertKind.CONSUMER_PAUSED)
    await told.alerts.aclose()
    assert [line["event"] for line in told.lines] == ["alert", "alert_not_delivered"]
    assert "hunter2" not in repr(told.lines)
    assert told.metrics.registry.get_sample_value("retl_alert_failures_total", {"service": "x"}) == 1


async def _serve(handler: Any, port: int) -> web.AppRunner:
    app = web.Application()
    app.add_routes([web.post("/services/T0/hunter2", handler)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner

"""Telling a person: always as an ERROR line, and to Slack where a webhook is set."""

from __future__ import annotations

import contextlib
from datetime import datetime
from enum import StrEnum

import aiohttp
from pydantic import SecretStr
from structlog.typing import FilteringBoundLogger

from libs.common.clock import Clock
from libs.common.metrics import Metrics
from libs.common.state import Failure, Run, Stage, State, StateError

WEBHOOK_TIMEOUT_SEC = 5.0
"""An alert may hold up the settling of a message for so long, which any lock outlives."""
REPEAT_AFTER_SEC = 600.0
"""The same alert is not sent again for so long; what changes a run's state alerts once by itself."""


class AlertKind(StrEnum):
    """What happened, for whoever routes alerts."""

    RUN_FAILED = "run_failed"
    RUN_TIMED_OUT = "run_timed_out"
    RUN_REFUSED = "run_refused"
    STAGE_FAILED = "stage_failed"
    MESSAGE_SET_ASIDE = "message_set_aside"
    CONSUMER_PAUSED = "consumer_paused"


class Alerts:
    """Sends alerts. A webhook that fails is logged and counted, and never fails the work."""

    def __init__(
        self, *, log: FilteringBoundLogger, clock: Clock, metrics: Metrics, webhook: SecretStr | None = None
    ) -> None:
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._webhook = webhook
        self._sent: dict[tuple[str | None, ...], float] = {}
        self._http: aiohttp.ClientSession | None = None

    async def send(self, run: Run | None, stage: Stage | None, failure: Failure, kind: AlertKind) -> None:
        """Tell it, unless the same was told within REPEAT_AFTER_SEC. Raises nothing; may take WEBHOOK_TIMEOUT_SEC."""
        run_id = run.run_id if run else None
        if self._is_repeat((kind, run_id, stage, failure.code)):
            return
        self._log.error(
            "alert",
            kind=kind.value,
            run_id=run_id,
            week=str(run.week) if run else None,
            stage=stage.value if stage else None,
            code=failure.code,
            text=failure.message,
            next_step=failure.next_step,
        )
        if self._webhook is not None:
            await self._post(self._webhook, _slack_text(run, stage, failure, kind))

    async def aclose(self) -> None:
        """Close the connection to the webhook."""
        if self._http is not None:
            await self._http.close()

    def _is_repeat(self, key: tuple[str | None, ...]) -> bool:
        now = self._clock.monotonic()
        self._sent = {told: at for told, at in self._sent.items() if now - at < REPEAT_AFTER_SEC}
        if key in self._sent:
            return True
        self._sent[key] = now
        return False

    async def _post(self, webhook: SecretStr, text: str) -> None:
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT_SEC))
        try:
            async with self._http.post(webhook.get_secret_value(), json={"text": text}) as response:
                response.raise_for_status()
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            # The error's own text may hold the webhook's URL, which is a secret.
            self._metrics.alert_failures.inc()
            self._log.warning("alert_not_delivered", error=type(error).__name__)


async def tell_of_end(
    alerts: Alerts, state: State, run: Run, stage: Stage | None, failure: Failure, kind: AlertKind, now: datetime
) -> None:
    """Alert that a run ended badly, and note in its row that people were told.

    Who dies before the note, or cannot make it, leaves the run to `Deadlines`, which alerts once more. Raises nothing.
    """
    await alerts.send(run, stage, failure, kind)
    with contextlib.suppress(StateError):
        await state.mark_told(run.run_id, now)


def _slack_text(run: Run | None, stage: Stage | None, failure: Failure, kind: AlertKind) -> str:
    where = " · ".join(
        part
        for part in (
            f"{run.pipeline_name} week {run.week}" if run else "",
            stage.value if stage else "",
            f"run {run.run_id}" if run else "",
        )
        if part
    )
    return f"*{kind.value.replace('_', ' ')}* {where}\n`{failure.code}` {failure.message}\n_Next:_ {failure.next_step}"

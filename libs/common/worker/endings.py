"""The bad ends: deliver again later, or fail the run, tell somebody, and put the message aside."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from libs.common.alerts import AlertKind, Alerts, tell_of_end
from libs.common.bus.envelope import Publisher
from libs.common.bus.ports import Delivery
from libs.common.clock import Clock
from libs.common.errors import describe, error_code
from libs.common.failpoints import failpoint
from libs.common.messages import Message, WeekRequested
from libs.common.retry import RetryPolicy
from libs.common.state import Failure, RunStatus, Stage, State, StateValueError
from libs.common.worker.actions import Action, Ending, Settle
from libs.common.worker.attempts import Attempt


class Endings:
    """Carries out what must happen before a message that did not work may be settled.

    Nothing here settles: the caller does, with the ending's `settle`. A crash in between is followed by a redelivery,
    which repeats. None of the methods raises for a dependency that is out of reach; each falls back to the next way in
    which the message is not lost.
    """

    def __init__(
        self,
        *,
        topic: str,
        subscription: str,
        stage: Stage,
        state: State,
        publisher: Publisher,
        alerts: Alerts,
        clock: Clock,
        policy: RetryPolicy,
    ) -> None:
        self._topic = topic
        self._subscription = subscription
        self._stage = stage
        self._state = state
        self._publisher = publisher
        self._alerts = alerts
        self._clock = clock
        self._policy = policy

    async def retry(
        self, delivery: Delivery, attempt: Attempt, message: Message, failure: Failure, after_sec: float | None
    ) -> Ending:
        """Schedule the next try, or give up when there is none left."""
        delay = self._policy.delay(attempt.spent, after_sec)
        if delay is None:
            return await self.fail(delivery, attempt, message, _given_up(failure, tries=attempt.spent + 1))
        return await self._schedule(delivery, attempt, failure, delay, Action.RETRIED)

    async def defer(self, delivery: Delivery, attempt: Attempt, failure: Failure) -> Ending:
        """Put it off without spending a retry: what went wrong is not the message's doing."""
        delay = self._policy.deferral(attempt.deferrals)
        return await self._schedule(delivery, attempt, failure, delay, Action.DEFERRED)

    async def fail(
        self,
        delivery: Delivery,
        attempt: Attempt,
        message: Message,
        failure: Failure,
        *,
        status: RunStatus = RunStatus.FAILED,
        action: Action = Action.DEAD_LETTERED,
    ) -> Ending:
        """End the run and its stage, alert if this call ended it, and say that the message is to be put aside.

        Where the state tables are out of reach the message is put off instead: a run must not end unrecorded. Where the
        run has ended already (somebody cancelled it under us) there is nothing to fail and the message is dropped.
        """
        now = self._clock.now()
        try:
            ended = await self._state.end_run(message.run_id, status, now, failure, self._stage)
            run = await self._state.get_run(message.run_id)
            if isinstance(message, WeekRequested):
                if run is None:
                    await self._state.refuse_run(message, failure, now)
                    run = await self._state.get_run(message.run_id)
                # Refused, by us or by the handler before it raised: a run that never was active is not *ended*.
                ended = ended or (run is not None and run.error is not None and run.error.code == failure.code)
        except StateValueError:  # no table can hold what the message says, now or later: there is no run to fail
            return await self.set_aside(failure)
        except Exception as error:  # noqa: BLE001 - whatever it is, the end is not recorded, and that is what counts
            unrecorded = Failure(
                error_code(error), f"{describe(error)} (while recording: {failure.message})", failure.next_step
            )
            return await self.defer(delivery, attempt, unrecorded)
        if not ended and run is not None:
            return Ending(action=Action.DROPPED, settle=Settle.COMPLETE, failure=failure, note=f"run is {run.status}")
        if run is None or run.status.is_success:
            await self._alerts.send(run, self._stage, failure, _kind(run is not None, status))
        else:
            await tell_of_end(self._alerts, self._state, run, self._stage, failure, _kind(False, status), now)
        return Ending(action=action, settle=Settle.DEAD_LETTER, failure=failure)

    async def set_aside(self, failure: Failure) -> Ending:
        """Dead-letter what cannot be read or belongs to no run: there is nothing to fail, so no run is touched."""
        await self._alerts.send(None, self._stage, failure, AlertKind.MESSAGE_SET_ASIDE)
        return Ending(action=Action.DEAD_LETTERED, settle=Settle.DEAD_LETTER, failure=failure)

    async def _schedule(
        self, delivery: Delivery, attempt: Attempt, failure: Failure, delay_sec: float, action: Action
    ) -> Ending:
        copy = attempt.copy(
            delivery,
            topic=self._topic,
            subscription=self._subscription,
            failure=failure,
            spend=action is Action.RETRIED,
        )
        try:
            await self._publisher.publish(copy, not_before=self._clock.now() + timedelta(seconds=delay_sec))
        except Exception as error:  # noqa: BLE001 - without a copy the original must stay, whatever the reason
            # Not abandoned: it would come back at once and spend the broker's deliveries on an outage.
            note = f"not rescheduled: {error_code(error)}: {describe(error)}"
            return Ending(action=Action.LEFT, settle=Settle.NOT, failure=failure, note=note)
        await failpoint("after_retry_scheduled")
        return Ending(action=action, settle=Settle.COMPLETE, failure=failure, delay_sec=delay_sec)


def _given_up(failure: Failure, *, tries: int) -> Failure:
    advice = f"{tries} tries did not help. When the cause is mended, `retl dlq replay` or publish the week again."
    return replace(failure, next_step=f"{advice} {failure.next_step}")


def _kind(kept_success: bool, status: RunStatus) -> AlertKind:
    if kept_success:
        return AlertKind.STAGE_FAILED
    return AlertKind.RUN_TIMED_OUT if status is RunStatus.TIMED_OUT else AlertKind.RUN_FAILED

"""One message from the broker's hand to its settlement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import structlog
from structlog.typing import FilteringBoundLogger

from libs.common import telemetry
from libs.common.bus.errors import LockLostError
from libs.common.bus.ports import Delivery
from libs.common.clock import Clock
from libs.common.errors import RetlError, describe, is_transient
from libs.common.failpoints import failpoint
from libs.common.messages import Message, UndecodableMessageError, decode
from libs.common.metrics import Metrics
from libs.common.outcome import DeadLetter, Done, Outcome, Retry
from libs.common.state import Failure, RunMissingError, RunStatus, StateValueError
from libs.common.worker.actions import Action, Ending, Settle, failure_of
from libs.common.worker.admission import Admission, Overdue, Unwanted
from libs.common.worker.attempts import Attempt
from libs.common.worker.endings import Endings
from libs.common.worker.locks import HeldLock, InterruptedWorkError, Interruption, LockKeeper

M = TypeVar("M", bound=Message)

MAX_DELIVERIES = 8
"""A copy delivered so often without an end takes its service down each time; below the topology's MaxDeliveryCount, so
that the run is failed with a reason instead of the broker setting the message aside in silence."""

_LEVELS = {
    Action.DEAD_LETTERED: "error",
    Action.TIMED_OUT: "error",
    Action.RETRIED: "warning",
    Action.DEFERRED: "warning",
    Action.LOCK_LOST: "warning",
    Action.LEFT: "warning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[M]):
    """What a consumer is for."""

    service: str
    """Also the subscription's name."""
    consumes: type[M]
    handler: Callable[[M], Awaitable[Outcome]]
    budget_sec: float


class UnexpectedMessageError(UndecodableMessageError):
    """The message is one of ours, but none that this service works on."""

    code = "unexpected_message"
    next_step = "Find out who publishes to the wrong topic; discard the message."


class Consumer(Generic[M]):
    """Takes a delivery to exactly one end. Holds no state between messages, so any number may run at once."""

    def __init__(
        self,
        work: Work[M],
        *,
        admission: Admission,
        endings: Endings,
        locks: LockKeeper,
        clock: Clock,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._work = work
        self._admission = admission
        self._endings = endings
        self._locks = locks
        self._clock = clock
        self._metrics = metrics
        self._log = log

    def hand_back(self) -> None:
        """Cancel all handlers, and hand their messages back."""
        self._locks.hand_back()

    async def consume(self, delivery: Delivery) -> Action:
        """Handle and settle one message; what became of it. Raises nothing that a message can cause."""
        started = self._clock.monotonic()
        attempt = Attempt.of(delivery, self._clock.now())
        ids = {key: delivery.properties[key] for key in ("run_id", "correlation_id") if key in delivery.properties}
        bound = structlog.contextvars.bind_contextvars(message_id=delivery.message_id, **ids)
        try:
            with telemetry.handling(self._work.service, self._work.consumes.topic, delivery.properties) as span:
                with self._locks.keep(delivery) as lock:
                    ending = await self._end(delivery, attempt, lock)
                    # Without the settlement, which may wait for a receive call in progress and delays nobody.
                    seconds = self._clock.monotonic() - started
                    await failpoint("before_settle")
                    ending = await self._settle(delivery, ending)
                await failpoint("after_settle")
                telemetry.ended(span, ending.action.value, _in_words(ending.failure))
                # A turn of the loop later, so that the broker looks for the next message meanwhile.
                asyncio.get_running_loop().call_soon(self._tell, delivery, attempt, ending, seconds)
        finally:
            structlog.contextvars.reset_contextvars(**bound)
        return ending.action

    async def _end(self, delivery: Delivery, attempt: Attempt, lock: HeldLock) -> Ending:
        try:
            message = self._decode(delivery.body)
        except UndecodableMessageError as error:
            return await self._endings.set_aside(failure_of(error))
        if delivery.delivery_count >= MAX_DELIVERIES:
            return await self._endings.fail(delivery, attempt, message, _deadly(delivery))
        try:
            verdict = await self._admission.judge(message)
        except (RunMissingError, StateValueError) as error:
            return await self._endings.set_aside(failure_of(error))
        except Exception as error:  # noqa: BLE001 - the state tables are out of reach, for whatever reason
            return await self._endings.defer(delivery, attempt, failure_of(error))
        match verdict:
            case Unwanted(note):
                return Ending(action=Action.DROPPED, settle=Settle.COMPLETE, note=note)
            case Overdue(_, failure):
                ending = await self._endings.fail(
                    delivery, attempt, message, failure, status=RunStatus.TIMED_OUT, action=Action.TIMED_OUT
                )
                # A replay would find the run overdue again, so there is nothing to keep the message for.
                return replace(ending, settle=Settle.COMPLETE) if ending.action is Action.TIMED_OUT else ending
        return await self._handle(delivery, attempt, message, lock)

    def _decode(self, body: bytes) -> M:
        message = decode(body)
        if not isinstance(message, self._work.consumes):
            raise UnexpectedMessageError(
                f"{self._work.service} works on {self._work.consumes.topic}, not on {message.topic}."
            )
        return message

    async def _handle(self, delivery: Delivery, attempt: Attempt, message: M, lock: HeldLock) -> Ending:
        try:
            with lock.work(self._work.budget_sec):
                await failpoint("before_work", part=getattr(message, "part", None))
                outcome = await self._work.handler(message)
        except InterruptedWorkError as interrupted:
            return await self._by_interruption(delivery, attempt, message, interrupted.why)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # the process ends
            error = RetlError("The handler was cancelled from within.")
            return await self._by_error(delivery, attempt, message, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the handler's and becomes the message's
            return await self._by_error(delivery, attempt, message, error)
        match outcome:
            case Done(note):
                return Ending(action=Action.DONE, settle=Settle.COMPLETE, note=note)
            case Retry(reason, code, after_sec):
                failure = Failure(code, reason, "The service's log says what it waited for.")
                return await self._endings.retry(delivery, attempt, message, failure, after_sec)
            case DeadLetter(code, text, next_step):
                return await self._endings.fail(delivery, attempt, message, Failure(code, text, next_step))

    async def _by_interruption(self, delivery: Delivery, attempt: Attempt, message: M, why: Interruption) -> Ending:
        match why:
            case Interruption.LOCK_LOST:
                return Ending(action=Action.LOCK_LOST, settle=Settle.NOT)
            case Interruption.HANDED_BACK:
                return Ending(action=Action.HANDED_BACK, settle=Settle.ABANDON)
            case Interruption.OUT_OF_BUDGET:
                return await self._endings.fail(
                    delivery,
                    attempt,
                    message,
                    _too_long(self._work),
                    status=RunStatus.TIMED_OUT,
                    action=Action.TIMED_OUT,
                )

    async def _by_error(self, delivery: Delivery, attempt: Attempt, message: M, error: BaseException) -> Ending:
        if isinstance(error, LockLostError):
            return Ending(action=Action.LOCK_LOST, settle=Settle.NOT)
        failure = failure_of(error)
        if is_transient(error):
            ending = await self._endings.retry(delivery, attempt, message, failure, None)
        else:
            ending = await self._endings.fail(delivery, attempt, message, failure)
        return ending if isinstance(error, RetlError) else replace(ending, error=error)

    async def _settle(self, delivery: Delivery, ending: Ending) -> Ending:
        """Tell the broker; where it does not listen the message comes again, and finds its work done."""
        try:
            match ending.settle:
                case Settle.COMPLETE:
                    await delivery.complete()
                case Settle.ABANDON:
                    await delivery.abandon()
                case Settle.DEAD_LETTER:
                    failure = ending.failure or Failure("unknown", "", "")
                    await delivery.dead_letter(
                        reason=failure.code, description=f"{failure.message} Next: {failure.next_step}"
                    )
                case Settle.NOT:
                    pass
        except RetlError as error:
            self._metrics.settle_failures.inc()
            note = f"{ending.note}; not settled: {error.code}: {describe(error)}".removeprefix("; ")
            return replace(ending, note=note)
        return ending

    def _tell(self, delivery: Delivery, attempt: Attempt, ending: Ending, seconds: float) -> None:
        """Count it, and write the canonical line: everything about this message that an operator greps for, once."""
        self._metrics.finished(ending.action, seconds)
        fields: dict[str, object] = {
            "action": ending.action.value,
            "topic": self._work.consumes.topic,
            "duration_ms": round(seconds * 1000, 1),
            "attempt": attempt.spent,
            "delivery_count": delivery.delivery_count,
        }
        if ending.failure is not None:
            fields |= {"code": ending.failure.code, "text": ending.failure.message}
            fields |= {"next_step": ending.failure.next_step}
        if ending.note:
            fields["note"] = ending.note
        if ending.delay_sec is not None:
            fields["retry_in_sec"] = round(ending.delay_sec, 1)
        if ending.error is not None:
            fields["exc_info"] = ending.error
        getattr(self._log, _LEVELS.get(ending.action, "info"))("message", **fields)


def _in_words(failure: Failure | None) -> str | None:
    return None if failure is None else f"{failure.code}: {failure.message}"


def _deadly(delivery: Delivery) -> Failure:
    return Failure(
        code="deliveries_exhausted",
        message=(
            f"The message was delivered {delivery.delivery_count + 1} times without an end: handling it probably takes "
            "the process down (out of memory?)."
        ),
        next_step="See why the process was restarted; give it more memory or smaller parts; then `retl dlq replay`.",
    )


def _too_long(work: Work[M]) -> Failure:
    return Failure(
        code="stage_timed_out",
        message=f"{work.service} worked longer than its budget of {work.budget_sec:.0f} s on one message.",
        next_step="Find in the log what it waited for; when that is well, `retl dlq replay` or publish the week again.",
    )

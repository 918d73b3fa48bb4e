"""The loop around the consumer: receive while there is room, rebuild the link when it breaks, stop when told."""

from __future__ import annotations

import asyncio
import random
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from libs.common.alerts import AlertKind, Alerts
from libs.common.bus.errors import BusError
from libs.common.bus.ports import Delivery, Receiver
from libs.common.clock import Clock
from libs.common.health import Health
from libs.common.messages import Message
from libs.common.metrics import Metrics
from libs.common.state import Failure
from libs.common.worker.actions import Action
from libs.common.worker.consumer import Consumer
from libs.common.worker.killswitch import KillSwitch, SwitchState
from libs.common.worker.locks import UNWIND_SEC

M = TypeVar("M", bound=Message)

RECEIVE_WAIT_SEC = 1.0
"""One receive call; also how long a stop may wait for it. Messages come out of it at once, whatever its length."""
IDLE_REBUILD_SEC = 600.0
"""A link that brought nothing for so long is made anew: idle links have been seen to die without an error."""
BACKOFF_SEC = (0.5, 30.0)
"""First and longest pause between attempts to get a link back; doubling, with jitter."""
PAUSE_SLICE_SEC = 10.0
"""A pause of the kill switch is slept in slices, so that the process shows that it lives."""
BEAT_SEC = 10.0
"""How often a worker with all hands full shows that it lives."""
SETTLE_SEC = 5.0
"""What handing back may take once the handlers have ended."""


class Worker:
    """Runs a consumer on one subscription, `concurrency` messages at a time."""

    def __init__(
        self,
        receiver: Receiver,
        consumer: Consumer[M],
        *,
        concurrency: int,
        stop_grace_sec: float,
        switch: KillSwitch,
        health: Health,
        alerts: Alerts,
        clock: Clock,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._receiver = receiver
        self._consumer = consumer
        self._concurrency = concurrency
        self._stop_grace_sec = stop_grace_sec
        self._switch = switch
        self._health = health
        self._alerts = alerts
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._last_message = clock.monotonic()
        self._last_receive = 0.0
        self._in_hand = 0
        metrics.in_flight.set_function(lambda: self._in_hand)
        metrics.last_receive.set_function(lambda: self._last_receive)
        metrics.kill_switch.set_function(lambda: switch.state)
        self._receiving = asyncio.Lock()
        self._finished = asyncio.Event()
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Receive no more; `run` then ends by itself."""
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop`. Returns when nothing is in hand any more and the link is closed.

        Raises BusError if the very first link is refused for a reason that will not pass (no access, no such entity).
        """
        hands: set[asyncio.Task[None]] = set()
        try:
            await self._connect(first=True)
            hands |= {asyncio.create_task(self._hand(), name=f"hand {number}") for number in range(self._concurrency)}
            await self._attend(hands)
        finally:
            self._stop.set()
            self._health.not_ready("stopping", "The service is stopping.")
            await self._drain(hands)
            await self._receiver.aclose()

    async def _attend(self, hands: set[asyncio.Task[None]]) -> None:
        """Wait for the stop; raise what a hand raises."""
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while not self._stop.is_set():
                ended, _ = await asyncio.wait((stopping, *hands), timeout=BEAT_SEC, return_when=asyncio.FIRST_COMPLETED)
                for hand in ended & hands:
                    hand.result()
                if self._is_full:
                    self._health.beat()  # not receiving because all hands are full is no sign of death
        finally:
            stopping.cancel()

    async def _hand(self) -> None:
        """Take a message, see it to its end, take the next.

        A message is worked on in the task that received it: a task of its own for each would cost several turns of the
        event loop.
        """
        while not self._stop.is_set():
            async with self._receiving:
                delivery = None if self._stop.is_set() else await self._turn()
            if delivery is not None:
                if not self._is_full:
                    await asyncio.sleep(0)  # lets the next hand ask first: the broker looks for its message meanwhile
                await self._work(delivery)

    @property
    def _is_full(self) -> bool:
        return self._in_hand >= self._switch.slots(self._concurrency)

    async def _turn(self) -> Delivery | None:
        """One look at the subscription, unless something speaks against it."""
        if (pause := self._switch.pause_left_sec()) > 0:
            self._health.beat()  # not receiving is meant
            await self._sleep(min(pause, PAUSE_SLICE_SEC))
            return None
        if self._is_full:  # a trial after a pause is under way
            await self._sleep_until_one_finishes()
            return None
        try:
            delivery = await self._receiver.receive(RECEIVE_WAIT_SEC)
        except BusError as error:
            self._log.warning("link_broken", entity=self._receiver.entity, code=error.code, text=str(error))
            await self._connect()
            return None
        self._last_receive = self._clock.now().timestamp()
        self._health.beat()
        if delivery is not None:
            self._last_message = self._clock.monotonic()
            self._in_hand += 1  # here, under the lock, so that the next look knows of it
        elif self._clock.monotonic() - self._last_message > IDLE_REBUILD_SEC and not self._in_hand:
            await self._connect()
        return delivery

    async def _connect(self, *, first: bool = False) -> None:
        """Get a link, with patience. Ready as soon as there is one."""
        pause, longest = BACKOFF_SEC
        while not self._stop.is_set():
            try:
                await self._receiver.open()
            except BusError as error:
                if first and not error.transient:
                    raise
                self._health.not_ready("bus", f"{error.code}: {error}")
                self._log.warning(
                    "link_not_opened", entity=self._receiver.entity, code=error.code, text=str(error), wait_sec=pause
                )
                await self._sleep(pause * (0.5 + random.random() / 2))
                pause = min(pause * 2, longest)
            else:
                if not first:
                    self._metrics.receiver_rebuilds.inc()
                self._last_message = self._clock.monotonic()
                self._health.ready("bus")
                self._health.beat()
                return

    async def _work(self, delivery: Delivery) -> None:
        self._metrics.received.inc()
        try:
            action = await self._consumer.consume(delivery)
        except Exception:  # noqa: BLE001 - a fault of the kit: its message comes again, the others go on
            self._log.exception("consumer_failed", message_id=delivery.message_id)
            action = Action.RETRIED
        finally:
            self._in_hand -= 1
            self._finished.set()
        if not (action.is_failure or action.is_success):
            return
        if self._switch.record(failed=action.is_failure):
            await self._tripped()
        elif self._switch.state is SwitchState.CONSUMING:
            self._health.ready("kill_switch")

    async def _tripped(self) -> None:
        pause = self._switch.pause_left_sec()
        failure = Failure(
            code="consumer_paused",
            message=f"Too many of the last messages of {self._receiver.entity} failed; trying again in {pause:.0f} s.",
            next_step="See the codes of the failed messages in the log; what they have in common is down or wrong.",
        )
        self._health.not_ready("kill_switch", failure.message)
        await self._alerts.send(None, None, failure, AlertKind.CONSUMER_PAUSED)

    async def _drain(self, hands: set[asyncio.Task[None]]) -> None:
        """Let what is in hand finish; what does not is cancelled and handed back."""
        if not hands:
            return
        if self._in_hand:
            self._log.info("finishing", messages=self._in_hand, grace_sec=self._stop_grace_sec)
        _, working = await asyncio.wait(hands, timeout=max(self._stop_grace_sec, RECEIVE_WAIT_SEC))
        if working:
            self._consumer.hand_back()
            await asyncio.wait(working, timeout=UNWIND_SEC + SETTLE_SEC)

    async def _sleep_until_one_finishes(self) -> None:
        self._finished.clear()
        waiting = asyncio.create_task(self._finished.wait())
        await asyncio.wait((waiting,), timeout=RECEIVE_WAIT_SEC)
        waiting.cancel()

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but wake up to stop."""
        sleeping = asyncio.create_task(self._clock.sleep(seconds))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait((sleeping, stopping), return_when=asyncio.FIRST_COMPLETED)
        sleeping.cancel()
        stopping.cancel()

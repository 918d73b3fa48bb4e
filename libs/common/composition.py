"""The composition root of all services: opens the adapters, wires the worker, runs it, closes in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from libs.common.alerts import Alerts
from libs.common.bus.errors import BusUnavailableError
from libs.common.bus.servicebus import Bus, connect
from libs.common.clock import SystemClock
from libs.common.errors import RetlError, SettingsError
from libs.common.health import Health, HealthServer
from libs.common.kit import Handler, Kit, M, S, Service
from libs.common.lake import open_lake
from libs.common.metrics import Metrics
from libs.common.outbox import Outbox
from libs.common.retry import RetryPolicy
from libs.common.scratch import process_folder
from libs.common.settings import ServiceSettings
from libs.common.state import State, migrate_if_embedded, open_state
from libs.common.worker.admission import Admission
from libs.common.worker.consumer import Consumer, Work
from libs.common.worker.deadlines import Deadlines
from libs.common.worker.endings import Endings
from libs.common.worker.killswitch import KillSwitch, SwitchPolicy
from libs.common.worker.locks import LockKeeper
from libs.common.worker.worker import Worker


async def run_service(service: Service[M, S], settings: S, log: FilteringBoundLogger, stop: asyncio.Event) -> None:
    """Open everything, work until `stop` is set, close everything in reverse.

    Raises RetlError where the service cannot start: no access, no tables, no such subscription.
    """
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        metrics, health = Metrics(service.name), Health(clock)
        server = HealthServer(health, metrics, host=settings.health_host, port=settings.health_port)
        stack.push_async_callback(server.aclose)
        await _listen(server, settings)
        log.info("service_starting", health_port=server.port, topic=service.consumes.topic)
        alerts = Alerts(log=log, clock=clock, metrics=metrics, webhook=settings.slack_webhook_url)
        stack.push_async_callback(alerts.aclose)
        bus = connect(settings)
        stack.push_async_callback(bus.aclose)
        state = await _open_state(settings, log)
        stack.push_async_callback(state.aclose)
        lake = open_lake(settings.lake_url, connection_string=settings.datalake_connection_string)
        stack.push_async_callback(lake.aclose)
        kit = Kit(
            settings=settings,
            state=state,
            lake=lake,
            outbox=Outbox(bus.publisher, state),
            clock=clock,
            alerts=alerts,
            log=log,
            scratch=_scratch(settings, service.name, stack),
            metrics=metrics,
        )
        handler = await stack.enter_async_context(service.build(settings, kit))
        locks = LockKeeper(clock=clock, metrics=metrics, log=log)
        worker = _worker(service, settings, kit, bus, health, locks, handler)
        deadlines = Deadlines(state, alerts, clock, log, run_budget_sec=settings.run_budget_sec)
        health.not_ready("senders", "Not connected yet.")
        await _work(worker, locks, deadlines, _warm(bus, service, health, log), stop, log)


async def _work(
    worker: Worker,
    locks: LockKeeper,
    deadlines: Deadlines,
    warm: Coroutine[None, None, None],
    stop: asyncio.Event,
    log: FilteringBoundLogger,
) -> None:
    """The tasks of a running service: if one dies, the others are cancelled and its error is the service's."""
    try:
        async with asyncio.TaskGroup() as tasks:
            warming = tasks.create_task(warm, name="open senders")
            watching = tasks.create_task(deadlines.watch(), name="deadlines")
            keeping = tasks.create_task(locks.watch(), name="locks")
            working = tasks.create_task(worker.run(), name="receive")
            stopping = tasks.create_task(_stop_with(stop, worker), name="stop")
            await asyncio.wait((working,))
            for task in (warming, watching, keeping, stopping):
                task.cancel()
    except BaseExceptionGroup as group:
        # One cause is enough to tell; the rest are its consequences.
        raise group.exceptions[0] from None
    log.info("service_stopped")


async def _warm(bus: Bus, service: Service[M, S], health: Health, log: FilteringBoundLogger) -> None:
    try:
        await bus.publisher.warm(message.topic for message in service.publishes)
    except BusUnavailableError as error:
        log.warning("senders_not_opened", code=error.code, text=str(error))  # the first publish tries again
    health.ready("senders")


async def _stop_with(stop: asyncio.Event, worker: Worker) -> None:
    await stop.wait()
    worker.stop()


def _worker(
    service: Service[M, S], settings: S, kit: Kit, bus: Bus, health: Health, locks: LockKeeper, handler: Handler[M]
) -> Worker:
    topic, subscription = service.consumes.topic, service.name
    consumer = Consumer(
        Work(
            service=service.name,
            consumes=service.consumes,
            handler=handler,
            budget_sec=service.budget_sec(settings) if callable(service.budget_sec) else service.budget_sec,
        ),
        admission=Admission(kit.state, kit.clock, admits=service.admits, run_budget_sec=settings.run_budget_sec),
        endings=Endings(
            topic=topic,
            subscription=subscription,
            stage=service.stage,
            state=kit.state,
            publisher=bus.publisher,
            alerts=kit.alerts,
            clock=kit.clock,
            policy=RetryPolicy(delays_sec=settings.retry_delays_sec),
        ),
        locks=locks,
        clock=kit.clock,
        metrics=kit.metrics,
        log=kit.log,
    )
    return Worker(
        bus.receiver(topic, subscription),
        consumer,
        concurrency=service.concurrency(settings) if callable(service.concurrency) else service.concurrency,
        stop_grace_sec=settings.stop_grace_sec,
        switch=KillSwitch(SwitchPolicy(), kit.clock),
        health=health,
        alerts=kit.alerts,
        clock=kit.clock,
        metrics=kit.metrics,
        log=kit.log,
    )


async def _open_state(settings: ServiceSettings, log: FilteringBoundLogger) -> State:
    """The state tables, made first where they are a file of ours.

    What only a person can mend (no tables, no access) ends the service now, with the next step; a database that is away
    does not, because messages wait for it.
    """
    await asyncio.to_thread(migrate_if_embedded, settings.state_url)
    state = open_state(settings.state_url)
    try:
        await state.ping()
    except RetlError as error:
        if not error.transient:
            await state.aclose()
            raise
        log.warning("state_not_reachable", code=error.code, text=str(error))
    return state


async def _listen(server: HealthServer, settings: ServiceSettings) -> None:
    try:
        await server.start()
    except OSError as error:
        raise SettingsError(
            f"{settings.health_host}:{settings.health_port} cannot be listened on: {error.strerror}.",
            next_step="Set HEALTH_PORT to a free port (0 picks one) or HEALTH_HOST to an address of this machine.",
        ) from error


def _scratch(settings: ServiceSettings, name: str, stack: AsyncExitStack) -> Path:
    try:
        return stack.enter_context(process_folder(settings.scratch_dir, name))
    except OSError as error:
        raise SettingsError(
            f"SCRATCH_DIR {settings.scratch_dir} cannot be used: {error.strerror}.",
            next_step="Set SCRATCH_DIR to a folder in which the service may write.",
        ) from error

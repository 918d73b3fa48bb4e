"""What every service is: a description, a kit of collaborators, and one `main`.

SERVICE = Service(name="validator", consumes=EventsExtracted, publishes=(EventsValidated,), stage=Stage.VALIDATE,
                  settings=ValidatorSettings, build=build, budget_sec=1800, about="…")

if __name__ == "__main__":
    sys.exit(main(SERVICE))
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from structlog.typing import FilteringBoundLogger

from libs.common import failpoints, telemetry
from libs.common.alerts import Alerts
from libs.common.bus.errors import BusUnavailableError
from libs.common.bus.servicebus import Bus, connect
from libs.common.clock import Clock, SystemClock
from libs.common.errors import RetlError, SettingsError
from libs.common.health import Health, HealthServer
from libs.common.lake import Lake, open_lake
from libs.common.logging import configure_logging
from libs.common.messages import Message
from libs.common.metrics import Metrics
from libs.common.outbox import Outbox
from libs.common.outcome import Outcome
from libs.common.retry import RetryPolicy
from libs.common.service_help import usage
from libs.common.settings import CommonSettings, ServiceSettings, load_settings
from libs.common.state import RunStatus, Stage, State, migrate_if_embedded, open_state
from libs.common.worker.admission import Admission
from libs.common.worker.consumer import Consumer, Work
from libs.common.worker.deadlines import Deadlines
from libs.common.worker.endings import Endings
from libs.common.worker.killswitch import KillSwitch, SwitchPolicy
from libs.common.worker.worker import Worker

M = TypeVar("M", bound=Message)
S = TypeVar("S", bound=ServiceSettings)
C = TypeVar("C", bound=CommonSettings)

Handler = Callable[[M], Awaitable[Outcome]]

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What a service's `build` gets to make its handler with. The kit's owner closes it all."""

    settings: ServiceSettings
    state: State
    lake: Lake
    outbox: Outbox
    clock: Clock
    alerts: Alerts
    log: FilteringBoundLogger
    """Knows the service; inside a handler also run, correlation and message."""
    scratch: Path
    """A folder of this process alone, for temporary files; gone when it ends."""
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Generic[M, S]):
    """One service, described."""

    name: str
    """Also its subscription's name on the topic of `consumes`."""
    about: str
    """For --help: what it does, and how it fails."""
    consumes: type[M]
    publishes: tuple[type[Message], ...] = ()
    """Their senders are opened before the service reports ready, so that no message waits for one."""
    stage: Stage
    settings: type[S]
    build: Callable[[S, Kit], AbstractAsyncContextManager[Handler[M]]]
    """Opens what the handler needs and yields the handler; closed after the last message is out of hand.

    The handler is cancelled when the lock is lost, the budget spent or the service stopped: it lets CancelledError pass
    and does nothing more.
    """
    budget_sec: float | Callable[[S], float]
    """Longest that one message may be worked on; then the run is TIMED_OUT."""
    concurrency: int | Callable[[S], int] = 1
    """Messages in hand at once."""
    admits: frozenset[RunStatus] | None = frozenset({RunStatus.STARTED})
    """Statuses of a run in which its messages are worked on; others are settled and dropped. None: all, unseen.

    A service whose own commit moves the run (the gate) must admit the status that it moves the run to, or a redelivery
    after a crash would be dropped instead of publishing what was recorded.
    """


def main(service: Service[M, S], argv: Sequence[str] | None = None) -> int:
    """Run the service until a signal; the exit status: 0 stopped, 1 failed, 2 wrong settings, 130 forced to stop."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments:
        asked = arguments[0] in ("-h", "--help")
        print(usage(service), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else WRONG_USAGE
    settings = load_or_exit(service.settings)
    log = configure_logging(settings, service=service.name)
    try:
        failpoints.configure(settings.failpoint, service=service.name)
        stop_exporter = telemetry.start_exporter(service.name)
    except SettingsError as error:
        return _refuse(error)
    try:
        asyncio.run(_run_until_signal(service, settings, log))
    except RetlError as error:
        log.error("service_failed", code=error.code, text=str(error), next_step=error.next_step)
        return FAILED
    except asyncio.CancelledError:
        log.warning("service_forced_to_stop")
        return INTERRUPTED
    except Exception:
        log.exception("service_failed")
        return FAILED
    finally:
        stop_exporter()
    return 0


def load_or_exit(kind: type[C]) -> C:
    """The settings, or the end of the process with status 2 and one line on stderr per what is wrong."""
    try:
        return load_settings(kind)
    except SettingsError as error:
        sys.exit(_refuse(error))


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
        worker = _worker(service, settings, kit, bus, health, handler)
        deadlines = Deadlines(state, alerts, clock, log, run_budget_sec=settings.run_budget_sec)
        health.not_ready("senders", "Not connected yet.")
        await _work(worker, deadlines, _warm(bus, service, health, log), stop, log)


async def _work(
    worker: Worker,
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
            working = tasks.create_task(worker.run(), name="receive")
            stopping = tasks.create_task(_stop_with(stop, worker), name="stop")
            await asyncio.wait((working,))
            for task in (warming, watching, stopping):
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


def _worker(service: Service[M, S], settings: S, kit: Kit, bus: Bus, health: Health, handler: Handler[M]) -> Worker:
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
    """`{SCRATCH_DIR}/{service}-{process id}`, empty; what dead processes of this service left behind is removed."""
    settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    for left in settings.scratch_dir.glob(f"{name}-*"):
        if not _is_alive(left.name.rpartition("-")[2]):
            shutil.rmtree(left, ignore_errors=True)
    scratch = settings.scratch_dir / f"{name}-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    stack.callback(shutil.rmtree, scratch, ignore_errors=True)
    return scratch


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


async def _run_until_signal(service: Service[M, S], settings: S, log: FilteringBoundLogger) -> None:
    """SIGTERM or SIGINT stops gently; a second one cancels everything."""
    stop = asyncio.Event()
    running = asyncio.current_task()
    assert running is not None

    def on_signal() -> None:
        if stop.is_set():
            running.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    await run_service(service, settings, log, stop)


def _refuse(error: SettingsError) -> int:
    sys.stderr.write(f"{error}\n{error.next_step}\n")
    return WRONG_USAGE

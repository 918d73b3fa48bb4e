"""How quick the delivery of a message is, and what the worker kit costs over the bare SDK.

    python -m tests.bench.delivery [--messages N] [--json FILE]

Runs the local broker as a process of its own on the deployed topology, and a service with a handler that does nothing
in this one. "Bare" is the official SDK in the same pattern (one message a receive call, so many in hand, completed one
by one) and nothing else: no decoding, admission, lock keeping, metrics, span or log line. "Bare, renewing" also keeps
its locks, with the SDK's AutoLockRenewer: the least that work of unknown length needs. The variants are measured in
turn, eleven times, each time on a fresh broker: messages a second, and CPU time of this process for one message. An
overhead is the median of what each round says, for a machine that is slow for a while is so for all of a round; the
quartiles tell how well it is known. What is imported is frozen for the collector of garbage, as a service does at its
start. Prints a table; with `--json` also writes the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import AutoLockRenewer, ServiceBusClient, ServiceBusReceiver

from libs.common.bus.envelope import Outgoing
from libs.common.bus.servicebus import connect
from libs.common.logging import configure_logging
from libs.common.messages import WeekRequested, encode
from libs.common.outcome import Done, Outcome
from libs.common.service import Handler, Kit, Service, run_service
from libs.common.settings import ServiceSettings, load_settings
from libs.common.state import RunStatus, Stage, migrate, open_state

ROUNDS = 11
LATENCY_MESSAGES = 200
CONCURRENCY = (1, 8)
VARIANTS = ("bare", "bare_renewing", "kit", "kit_with_admission")

Started = Callable[[WeekRequested], None]


@dataclass(frozen=True)
class Pace:
    """How quickly a row of messages went by."""

    per_sec: float
    cpu_us: float


class Stopwatch:
    """Notes when each of so many messages came, in wall time and in CPU time of this process."""

    def __init__(self, messages: int) -> None:
        self._messages = messages
        self._times: list[tuple[float, float]] = []
        self.full = asyncio.Event()

    def note(self, _message: object) -> None:
        self._times.append((time.perf_counter(), time.process_time()))
        if len(self._times) == self._messages:
            self.full.set()

    @property
    def pace(self) -> Pace:
        (wall, cpu), (wall_end, cpu_end) = self._times[0], self._times[-1]
        between = len(self._times) - 1
        return Pace(between / (wall_end - wall), (cpu_end - cpu) / between * 1e6)


def request(run_id: str | None = None) -> WeekRequested:
    return WeekRequested(
        run_id=run_id or uuid.uuid4().hex,
        pipeline_name="bench",
        week_start=date(2025, 1, 6),
        week_end=date(2025, 1, 12),
        correlation_id="bench",
        requested_by="bench",
        requested_at=datetime.now(UTC),
    )


class Bench:
    """One broker, one database, and the settings of a service on them."""

    def __init__(self, folder: Path, connection_string: str) -> None:
        self.connection_string = connection_string
        self.settings = load_settings(
            ServiceSettings,
            servicebus_connection_string=connection_string,
            state_url=f"sqlite:///{folder / 'state.db'}",
            lake_url=(folder / "lake").as_uri(),
            scratch_dir=folder / "scratch",
            health_host="127.0.0.1",
            health_port=0,
        )
        migrate(self.settings.state_url)

    async def fill(self, messages: int, *, run_id: str | None = None) -> None:
        """Put so many messages on the topic, in batches."""
        async with (
            ServiceBusClient.from_connection_string(self.connection_string) as client,
            client.get_topic_sender(WeekRequested.topic) as sender,
        ):
            for start in range(0, messages, 100):
                batch = [request(run_id) for _ in range(min(100, messages - start))]
                await sender.send_messages(
                    [ServiceBusMessage(encode(each), message_id=uuid.uuid4().hex) for each in batch]
                )

    @asynccontextmanager
    async def service(
        self, started: Started, *, concurrency: int, admits: frozenset[RunStatus] | None
    ) -> AsyncIterator[None]:
        """A service whose handler only calls `started`."""

        @asynccontextmanager
        async def build(_settings: ServiceSettings, _kit: Kit) -> AsyncIterator[Handler[WeekRequested]]:
            async def handle(message: WeekRequested) -> Outcome:
                started(message)
                return Done()

            yield handle

        described = Service(
            name="extractor",
            about="Does nothing, quickly.",
            consumes=WeekRequested,
            stage=Stage.EXTRACT,
            settings=ServiceSettings,
            build=build,
            budget_sec=60,
            concurrency=concurrency,
            admits=admits,
        )
        stop = asyncio.Event()
        log = configure_logging(self.settings, service="bench")
        running = asyncio.create_task(run_service(described, self.settings, log, stop))
        yield
        stop.set()
        await running

    async def latencies_ms(self) -> list[float]:
        """From just before the publish to the first line of the handler, one message at a time."""
        bus = connect(self.settings)
        arrived: asyncio.Queue[float] = asyncio.Queue()
        taken = []
        async with self.service(lambda _: arrived.put_nowait(time.perf_counter()), concurrency=1, admits=None):
            await bus.publisher.publish(Outgoing.of(request()))  # the first one opens the links
            await arrived.get()
            for _ in range(LATENCY_MESSAGES):
                start = time.perf_counter()
                await bus.publisher.publish(Outgoing.of(request()))
                taken.append((await arrived.get() - start) * 1000)
        await bus.aclose()
        return taken

    async def kit_pace(self, messages: int, concurrency: int, *, admit: bool) -> Pace:
        """Through the service, from the first message handled to the last."""
        run_id = None
        if admit:
            run_id = uuid.uuid4().hex
            state = open_state(self.settings.state_url)
            await state.open_run(request(run_id), datetime.now(UTC))
            await state.end_run(run_id, RunStatus.SKIPPED, datetime.now(UTC))
            await state.aclose()
        await self.fill(messages, run_id=run_id)
        watch = Stopwatch(messages)
        admits = frozenset({RunStatus.SKIPPED}) if admit else None
        async with self.service(watch.note, concurrency=concurrency, admits=admits):
            await watch.full.wait()
        return watch.pace

    async def bare_pace(self, messages: int, concurrency: int, *, renew: bool) -> Pace:
        """The same with the SDK alone."""
        await self.fill(messages)
        watch = Stopwatch(messages)
        hands = asyncio.Semaphore(concurrency)
        async with (
            ServiceBusClient.from_connection_string(self.connection_string) as client,
            client.get_subscription_receiver(WeekRequested.topic, "extractor") as receiver,
            AutoLockRenewer() as renewer,
            asyncio.TaskGroup() as tasks,
        ):
            while not watch.full.is_set():
                await hands.acquire()
                (message,) = await receiver.receive_messages(max_message_count=1, max_wait_time=30)
                watch.note(message)
                if renew:
                    renewer.register(receiver, message)
                tasks.create_task(_complete(receiver, message, hands))
        return watch.pace


async def _complete(receiver: ServiceBusReceiver, message: Any, hands: asyncio.Semaphore) -> None:
    await receiver.complete_message(message)
    hands.release()


async def paces(bench: Bench, variant: str, messages: int, concurrency: int) -> Pace:
    """One measurement."""
    gc.collect()
    gc.freeze()
    if variant.startswith("bare"):
        return await bench.bare_pace(messages, concurrency, renew=variant == "bare_renewing")
    return await bench.kit_pace(messages, concurrency, admit=variant == "kit_with_admission")


def measure(messages: int) -> dict[str, Any]:
    """All figures."""
    with fresh() as bench:
        latencies = sorted(asyncio.run(bench.latencies_ms()))
    return {
        "publish_to_handler_ms": {
            "p50": round(statistics.median(latencies), 2),
            "p95": round(latencies[int(len(latencies) * 0.95)], 2),
            "messages": len(latencies),
        },
        "throughput": [throughput(messages, concurrency) for concurrency in CONCURRENCY],
    }


def throughput(messages: int, concurrency: int) -> dict[str, Any]:
    """The variants compared, with so many messages in hand."""
    rounds: dict[str, list[Pace]] = {variant: [] for variant in VARIANTS}
    for _ in range(ROUNDS):
        for variant in VARIANTS:
            with fresh() as bench:
                rounds[variant].append(asyncio.run(paces(bench, variant, messages, concurrency)))
    figures: dict[str, Any] = {"concurrency": concurrency}
    for variant, measured in rounds.items():
        figures[f"{variant}_per_sec"] = round(statistics.median(pace.per_sec for pace in measured))
        figures[f"{variant}_cpu_us"] = round(statistics.median(pace.cpu_us for pace in measured))
    for baseline in ("bare", "bare_renewing"):
        pairs = zip(rounds[baseline], rounds["kit"], strict=True)
        quartiles = statistics.quantiles(((bare.per_sec / kit.per_sec - 1) * 100 for bare, kit in pairs), n=4)
        figures[f"over_{baseline}_pct"] = [round(pct, 1) for pct in quartiles]
    return figures


def table(figures: dict[str, Any]) -> str:
    """For people."""
    latency = figures["publish_to_handler_ms"]
    lines = [
        f"publish → handler   p50 {latency['p50']} ms   p95 {latency['p95']} ms   ({latency['messages']} messages)",
        "",
        f"{'in hand':>7}  {'':18}  {'messages/s':>10}  {'CPU µs each':>11}",
    ]
    for row in figures["throughput"]:
        lines += [
            f"{row['concurrency']:>7}  {variant:18}  {row[f'{variant}_per_sec']:>10}  {row[f'{variant}_cpu_us']:>11}"
            for variant in VARIANTS
        ]
        for baseline, name in (("bare", "the bare SDK"), ("bare_renewing", "one that renews its locks")):
            low, median, high = row[f"over_{baseline}_pct"]
            lines.append(f"{'':7}  overhead of the kit over {name}: {median} % (quartiles {low} and {high})")
    return "\n".join(lines)


@contextmanager
def fresh() -> Iterator[Bench]:
    """A bench on a broker and a database that nobody has used."""
    with broker() as connection_string, tempfile.TemporaryDirectory() as folder:
        yield Bench(Path(folder), connection_string)


@contextmanager
def broker() -> Iterator[str]:
    """The connection string of a broker that ends with the context."""
    process = subprocess.Popen(
        [sys.executable, "-m", "libs.emulators.servicebus", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["connection_string"]
    finally:
        process.terminate()
        process.wait(10)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.delivery", description=__doc__)
    parser.add_argument("--messages", type=int, default=1000, help="messages a round (default %(default)s)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    real = sys.stderr
    # The log lines are written, as in a service, but to nowhere.
    with Path(os.devnull).open("w") as nowhere:
        sys.stderr = nowhere
        try:
            figures = measure(arguments.messages)
        finally:
            sys.stderr = real
    sys.stdout.write(f"{table(figures)}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

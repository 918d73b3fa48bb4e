"""How quick the delivery of a message is, and what the worker kit costs over the bare SDK.

    python -m tests.bench.delivery [--messages N] [--json FILE]

Runs the local broker as a process of its own on the deployed topology, and a service with a handler that does nothing
in this one. "Bare" is the official SDK in the same pattern (one message a receive call, so many in hand, completed one
by one) and nothing else: no decoding, admission, lock keeping, metrics, span or log line. The variants are measured in
turn, three times, and the medians compared. Prints a table; with `--json` also writes the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

from libs.common.bus.envelope import Outgoing
from libs.common.bus.servicebus import connect
from libs.common.logging import configure_logging
from libs.common.messages import WeekRequested, encode
from libs.common.outcome import Done, Outcome
from libs.common.service import Handler, Kit, Service, run_service
from libs.common.settings import ServiceSettings, load_settings
from libs.common.state import RunStatus, Stage, migrate, open_state

ROUNDS = 3
LATENCY_MESSAGES = 200
CONCURRENCY = (1, 8)

Started = Callable[[WeekRequested], None]


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

    async def kit_rate(self, messages: int, concurrency: int, *, admit: bool) -> float:
        """Messages a second through the service, from the first handled to the last."""
        run_id = None
        if admit:
            run_id = uuid.uuid4().hex
            state = open_state(self.settings.state_url)
            await state.open_run(request(run_id), datetime.now(UTC))
            await state.end_run(run_id, RunStatus.SKIPPED, datetime.now(UTC))
            await state.aclose()
        await self.fill(messages, run_id=run_id)
        times: list[float] = []
        drained = asyncio.Event()

        def note(_message: WeekRequested) -> None:
            times.append(time.perf_counter())
            if len(times) == messages:
                drained.set()

        admits = frozenset({RunStatus.SKIPPED}) if admit else None
        async with self.service(note, concurrency=concurrency, admits=admits):
            await drained.wait()
        return (messages - 1) / (times[-1] - times[0])

    async def bare_rate(self, messages: int, concurrency: int) -> float:
        """The same with the SDK alone."""
        await self.fill(messages)
        times: list[float] = []
        hands = asyncio.Semaphore(concurrency)
        async with (
            ServiceBusClient.from_connection_string(self.connection_string) as client,
            client.get_subscription_receiver(WeekRequested.topic, "extractor") as receiver,
            asyncio.TaskGroup() as tasks,
        ):
            while len(times) < messages:
                await hands.acquire()
                (message,) = await receiver.receive_messages(max_message_count=1, max_wait_time=30)
                times.append(time.perf_counter())
                tasks.create_task(_complete(receiver, message, hands))
        return (messages - 1) / (times[-1] - times[0])


async def _complete(receiver: ServiceBusReceiver, message: Any, hands: asyncio.Semaphore) -> None:
    await receiver.complete_message(message)
    hands.release()


async def measure(bench: Bench, messages: int) -> dict[str, Any]:
    """All figures."""
    latencies = sorted(await bench.latencies_ms())
    figures: dict[str, Any] = {
        "publish_to_handler_ms": {
            "p50": round(statistics.median(latencies), 2),
            "p95": round(latencies[int(len(latencies) * 0.95)], 2),
            "messages": len(latencies),
        },
        "throughput": [],
    }
    for concurrency in CONCURRENCY:
        variants: dict[str, Callable[[], Awaitable[float]]] = {
            "bare": lambda c=concurrency: bench.bare_rate(messages, c),  # type: ignore[misc] # mypy: no defaults in lambdas
            "kit": lambda c=concurrency: bench.kit_rate(messages, c, admit=False),  # type: ignore[misc] # as above
            "kit_with_admission": lambda c=concurrency: bench.kit_rate(messages, c, admit=True),  # type: ignore[misc] # as above
        }
        rates: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(ROUNDS):
            for name, run in variants.items():
                rates[name].append(await run())
        medians = {name: statistics.median(values) for name, values in rates.items()}
        figures["throughput"].append(
            {
                "concurrency": concurrency,
                **{f"{name}_per_sec": round(rate) for name, rate in medians.items()},
                "overhead_pct": round((medians["bare"] / medians["kit"] - 1) * 100, 1),
            }
        )
    return figures


def table(figures: dict[str, Any]) -> str:
    """For people."""
    latency = figures["publish_to_handler_ms"]
    rows = [
        f"publish → handler   p50 {latency['p50']} ms   p95 {latency['p95']} ms   ({latency['messages']} messages)",
        "",
        "in hand   bare SDK/s   kit/s   kit with admission/s   overhead",
    ]
    rows += [
        f"{row['concurrency']:>7}   {row['bare_per_sec']:>10}   {row['kit_per_sec']:>5}   "
        f"{row['kit_with_admission_per_sec']:>20}   {row['overhead_pct']:>6} %"
        for row in figures["throughput"]
    ]
    return "\n".join(rows)


@contextmanager
def broker() -> Any:
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
    with broker() as connection_string, tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        sys.stderr = nowhere
        try:
            figures = asyncio.run(measure(Bench(Path(folder), connection_string), arguments.messages))
        finally:
            sys.stderr = real
    sys.stdout.write(f"{table(figures)}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a large week costs the sync: seconds, rows a second, peak memory, from `gate.passed` to the end of the stage.

    python -m tests.bench.sync [--rows N] [--set SF_CONCURRENT_JOBS=1 …] [--json FILE]

Three runs of one week of N customers, one after the other: `first` (Salesforce knows nobody, all are created),
`unchanged` (the same rows again: nothing is sent) and `changed` (one row in a hundred has another value). For each a
fresh `python -m services.sf_sync`, as it is, takes the message from a broker (emulator) and speaks to Salesforce
(emulator), each a process of its own. Peak memory is the kernel's `VmHWM` of the service's process, which holds
Python, the libraries, DuckDB and everything else. As the org is an emulator on the same machine, its share of the
processors' time is told beside the service's own: what the service would cost next to a Salesforce elsewhere is
`service_cpu_sec`. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb

from libs.cli.processes import Child, free_port
from libs.common.blobs import store
from libs.common.bus.envelope import Outgoing
from libs.common.bus.servicebus import connect
from libs.common.lake import open_lake, paths
from libs.common.messages import GatePassed, RunOptions, WeekRequested
from libs.common.settings import CommonSettings, load_settings
from libs.common.state import RunStatus, Stage, StageRow, State, migrate, open_state
from libs.common.week import Week
from tests.bench.measure import PeakMemory, Usage, machine, table

AIM_MB: Final = 300
WEEK: Final = Week.of(date(2026, 1, 5))
PIPELINE: Final = "bench"
CHANGED_EVERY: Final = 100
LEAST_ROWS_PER_SEC: Final = 500
"""Slower than this is a hang."""
POLL_SEC: Final = 0.2

# Columns as the gate writes them; names, values and nulls as scattered as in a large shop.
SIGNALS: Final = """
COPY (
    SELECT
        customer || '|{start}' AS external_signal_id,
        customer AS external_customer_id,
        DATE '{start}' AS week_start,
        DATE '{end}' AS week_end,
        ((hash(i, 'spend') % 500000) / 100 + if({edition} > 0 AND i % {every} = 0, {edition}, 0))::DECIMAL(18, 2)
            AS total_spend_week,
        (hash(i, 'orders') % 9)::BIGINT AS orders_week,
        (hash(i, 'views') % 200)::BIGINT AS views_week,
        (hash(i, 'carts') % 20)::BIGINT AS carts_week,
        (1 + hash(i, 'sessions') % 14)::BIGINT AS sessions_week,
        (1 + hash(i, 'days') % 7)::BIGINT AS active_days_week,
        if(i % 3 = 0, NULL, ((hash(i, 'average') % 50000) / 100)::DECIMAL(18, 2)) AS avg_order_value_week,
        TIMESTAMPTZ '{start} 00:00:00+00' + to_microseconds((hash(i, 'at') % 604800000000)::BIGINT) AS last_event_at,
        if(i % 5 = 0, NULL, 'department.' || hash(i, 'category') % 130) AS top_category,
        if(i % 7 = 0, NULL, 'brand' || hash(i, 'brand') % 3000) AS top_brand,
        (['prospect', 'bronze', 'silver', 'gold', 'platinum'])[1 + (hash(i, 'tier') % 5)::INT] AS customer_tier,
        TIMESTAMPTZ '2026-01-12 05:30:00+00' AS refreshed_at
    FROM (SELECT i, (500000000 + i)::VARCHAR AS customer FROM range({rows}) AS numbers(i))
    ORDER BY customer
) TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536)"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run."""

    name: str
    seconds: float
    stage: StageRow
    usage: dict[str, Usage]


def write_signals(target: Path, rows: int, edition: int) -> None:
    """The week's signals; in every edition but 0 each hundredth row has a value of that edition's own."""
    sql = SIGNALS.format(start=WEEK.start, end=WEEK.end, edition=edition, every=CHANGED_EVERY, rows=rows, target=target)
    with duckdb.connect(config={"memory_limit": "1GB", "threads": 2}) as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(sql)


@asynccontextmanager
async def running(child: Child) -> AsyncIterator[Child]:
    """The process, ready; it ends with the context."""
    try:
        await child.start(lambda _: None)
        yield child
    finally:
        await child.stop()


def emulator(name: str, folder: Path, *arguments: str) -> Child:
    """An emulator that keeps its data below `folder`."""
    return Child(
        name=name,
        module=f"libs.emulators.{name}",
        arguments=["--port", "0", "--data", str(folder / name), *arguments],
        log_path=folder / f"{name}.log",
        env=dict(os.environ),
        announces=True,
    )


def sync_service(folder: Path, settings: dict[str, str]) -> Child:
    """The service as it is deployed."""
    port = free_port()
    own = {"HEALTH_HOST": "127.0.0.1", "HEALTH_PORT": str(port), "SCRATCH_DIR": str(folder / "scratch")}
    return Child(
        name="sf_sync",
        module="services.sf_sync",
        arguments=[],
        log_path=folder / "sf_sync.log",
        env=dict(os.environ) | settings | own,
        health_port=port,
    )


async def pass_gate(state: State, settings: CommonSettings, signals: Path, run_id: str, rows: int) -> GatePassed:
    """Record a run that has just passed the gate with these signals; the message that tells of it."""
    now = datetime.now(UTC)
    options = RunOptions(force=True)
    ids: dict[str, Any] = {
        "run_id": run_id,
        "pipeline_name": PIPELINE,
        "week_start": WEEK.start,
        "week_end": WEEK.end,
        "correlation_id": run_id,
    }
    await state.open_run(WeekRequested(**ids, requested_by="bench", requested_at=now, options=options), now)
    await state.start_stage(run_id, Stage.QUALITY_GATE, now)
    await state.complete_gate(
        run_id, now, status=RunStatus.SUCCESS, rows_output=rows, rows_rejected=0, reject_rate_pct=Decimal(0)
    )
    lake = open_lake(settings.lake_url)
    try:
        ref = await store(lake, signals, paths.signals_file(WEEK.start, WEEK.end), rows)
    finally:
        await lake.aclose()
    return GatePassed(**ids, signals=ref, run_status="SUCCESS", checks=ref)


async def sync_once(
    folder: Path, settings: dict[str, str], salesforce: Child, state: State, name: str, *, rows: int, edition: int
) -> Measured:
    """One run of the week, by a fresh service."""
    signals = folder / "signals.parquet"
    await asyncio.to_thread(write_signals, signals, rows, edition)
    common = load_settings(CommonSettings, _env_file=None, **{key.lower(): value for key, value in settings.items()
                           if key.lower() in CommonSettings.model_fields})  # fmt: skip
    message = await pass_gate(state, common, signals, name, rows)
    async with running(sync_service(folder, settings)) as service:
        with PeakMemory(lambda: {_pid(service): "sf_sync", _pid(salesforce): "salesforce"}) as memory:
            bus = connect(common)
            try:
                await bus.publisher.publish(Outgoing.of(message))
            finally:
                await bus.aclose()
            stage = await _ended(state, name, within_sec=60 + rows / LEAST_ROWS_PER_SEC)
    if stage.finished_at is None or stage.failure is not None:
        raise RuntimeError(f"Run {name} ended as {stage.status}: {stage.failure}\n{service.log_tail()}")
    return Measured(name, (stage.finished_at - stage.started_at).total_seconds(), stage, memory.usage)


async def _ended(state: State, run_id: str, *, within_sec: float) -> StageRow:
    async with asyncio.timeout(within_sec):
        while True:
            stage = await state.get_stage(run_id, Stage.SALESFORCE_SYNC)
            if stage is not None and stage.finished_at is not None:
                return stage
            await asyncio.sleep(POLL_SEC)


def _pid(child: Child) -> int:
    assert child.process is not None, "it was started"
    return child.process.pid


async def measure(folder: Path, rows: int, changes: dict[str, str]) -> list[Measured]:
    """The three runs."""
    settings = {"STATE_URL": f"sqlite:///{folder / 'state.db'}", "LAKE_URL": (folder / "lake").as_uri()}
    migrate(settings["STATE_URL"])
    async with (
        running(emulator("servicebus", folder)) as bus,
        running(emulator("salesforce", folder, "--log-level", "ERROR")) as salesforce,
    ):
        settings |= {
            "PIPELINE_NAME": PIPELINE,
            "SERVICEBUS_CONNECTION_STRING": bus.ready["connection_string"],
            "SF_LOGIN_URL": salesforce.ready["login_url"],
            "SF_CLIENT_ID": "retl-demo",
            "SF_CLIENT_SECRET": "retl-demo-secret",
            **changes,
        }
        state = open_state(settings["STATE_URL"])
        try:
            return [
                await sync_once(folder, settings, salesforce, state, name, rows=rows, edition=edition)
                for name, edition in (("first", 0), ("unchanged", 0), ("changed", 1))
            ]
        finally:
            await state.aclose()


def figures_of(one: Measured, rows: int) -> dict[str, Any]:
    """What is shown of a run."""
    details = one.stage.details
    return {
        "run": one.name,
        "rows": rows,
        **{name: details[name] for name in ("created", "updated", "unchanged", "failed", "jobs", "api_calls")},
        "seconds": round(one.seconds, 1),
        "rows_per_sec": round(rows / one.seconds),
        "service_cpu_sec": round(one.usage["sf_sync"].cpu_sec, 1),
        "emulator_cpu_sec": round(one.usage["salesforce"].cpu_sec, 1),
        "peak_mb": round(one.usage["sf_sync"].peak_mb, 1),
        "emulator_peak_mb": round(one.usage["salesforce"].peak_mb, 1),
    }


def is_right(figures: list[dict[str, Any]], rows: int) -> bool:
    """Whether each run sent what it had to and nothing else, in as much memory as allowed."""
    changed = -(-rows // CHANGED_EVERY)
    wanted = [(rows, 0, 0, 0), (0, 0, rows, 0), (0, changed, rows - changed, 0)]
    sent = [tuple(each[name] for name in ("created", "updated", "unchanged", "failed")) for each in figures]
    return sent == wanted and all(each["peak_mb"] < AIM_MB for each in figures)


def main() -> int:
    """Measure and print; 1 where a run sent anything but what it had to, or took more memory than the aim."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sync", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="customers of the week (default %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the service")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    changes = dict(each.split("=", 1) for each in arguments.set)
    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(measure(Path(folder), arguments.rows, changes))
    figures = [figures_of(one, arguments.rows) for one in measured]
    sys.stdout.write(table(list(figures[0]), [list(each.values()) for each in figures]) + "\n")
    sys.stdout.write(f"aim: less than {AIM_MB} MB at the peak\n")
    if arguments.json:
        told = {"aim_mb": AIM_MB, "runs": figures, "machine": machine(["duckdb", "pyarrow", "simple-salesforce"])}
        arguments.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0 if is_right(figures, arguments.rows) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What a large week costs the gate: seconds and peak memory, from `data.loaded` to the published week.

    python -m tests.bench.gate [--events N] [--customers N] [--set GATE_THREADS=1 …] [--json FILE]

Writes a staged week of N events as the loader would (files sorted by customer, a quarter of a million events each),
with sessions, brands, categories and prices as scattered as in a large shop. Then the gate's handler, as it is, works
on it in a process of its own, with a folder for a lake and SQLite for state; its peak memory is the kernel's `VmHWM`
of that process (MB are millions of bytes), which holds Python, the libraries, DuckDB and everything else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from libs.common.blobs import store
from libs.common.lake import paths, sha256_file
from libs.common.manifest import LoadManifest, StagedFile, decode_manifest, encode_manifest
from libs.common.messages import DataLoaded
from libs.common.settings import load_settings
from libs.common.state import Stage
from services.gate.handlers import Deps, handle
from services.gate.rules import load_rules
from services.gate.settings import GateSettings
from tests.bench.measure import machine, peak_mb, table
from tests.integration.kits import IDS, RUN_ID, WEEK, RecordingPublisher, open_kit, open_run

FILE_EVENTS = 250_000
AIM_MB = 400
EVENTS_A_SESSION = 4

# A range of events is a file of its own, as in production: customers are spread over all files, each file is sorted.
STAGED_FILE = """
COPY (
    SELECT
        TIMESTAMPTZ '{start} 00:00:00+00' + to_microseconds((hash(i, 'time') % 604800000000)::BIGINT) AS event_time,
        CASE WHEN hash(i, 'type') % 100 < 90 THEN 'view' WHEN hash(i, 'type') % 100 < 96 THEN 'cart' ELSE 'purchase' END
            AS event_type,
        (1000000 + hash(i, 'product') % 200000)::VARCHAR AS product_id,
        (2053013550000000000 + hash(i, 'product') % 1000)::VARCHAR AS category_id,
        CASE WHEN hash(i, 'product') % 3 > 0 THEN 'department.' || hash(i, 'product') % 13 || '.kind' ||
            hash(i, 'product') % 130 END AS category_code,
        CASE WHEN hash(i, 'product') % 7 > 0 THEN 'brand' || hash(i, 'product') % 3000 END AS brand,
        ((hash(i, 'product') % 10000000) / 10000)::DECIMAL(18, 4) AS price,
        (500000000 + hash(session) % {customers})::VARCHAR AS user_id,
        md5(session::VARCHAR) AS user_session,
        DATE '{start}' AS batch_week_start,
        DATE '{end}' AS batch_week_end,
        TIMESTAMPTZ '2019-10-07 05:30:00+00' AS ingested_at
    FROM (SELECT i, i // {events_a_session} AS session FROM range({first}, {last}) AS numbers(i))
    ORDER BY user_id, event_time
) TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536)"""


def stage_week(folder: Path, events: int, customers: int) -> None:
    """Write the staged week and its manifest below `folder`/lake, as the loader would."""
    lake = folder / "lake"
    (lake / paths.staged_events_dir(RUN_ID)).mkdir(parents=True)
    files = []
    with duckdb.connect(config={"memory_limit": "1GB", "threads": 2}) as db:
        db.execute("SET TimeZone = 'UTC'")
        for index, first in enumerate(range(0, events, FILE_EVENTS)):
            path = paths.staged_events_file(RUN_ID, index)
            last = min(first + FILE_EVENTS, events)
            query = STAGED_FILE.format(
                start=WEEK.start,
                end=WEEK.end,
                customers=customers,
                events_a_session=EVENTS_A_SESSION,
                first=first,
                last=last,
                target=lake / path,
            )
            db.execute(query).fetchall()
            digest = sha256_file(lake / path)
            files.append(StagedFile(path=path, sha256=digest.sha256, size_bytes=digest.size_bytes, rows=last - first))
    manifest = LoadManifest(
        run_id=RUN_ID,
        pipeline_name=IDS["pipeline_name"],
        week_start=WEEK.start,
        week_end=WEEK.end,
        parts_total=1,
        rows_valid=events,
        rows_rejected=0,
        reject_counts={},
        unknown_fields={},
        events=tuple(files),
        rejects=(),
    )
    (lake / paths.load_manifest(RUN_ID)).write_bytes(encode_manifest(manifest))


async def gate_week(folder: Path, **changes: Any) -> dict[str, Any]:
    """Handle the staged week in this process, as the service would; the figures."""
    local = folder / "lake" / paths.load_manifest(RUN_ID)
    manifest = decode_manifest(local.read_bytes())
    rows = manifest.rows_valid
    async with open_kit(folder, RecordingPublisher()) as kit:
        await open_run(kit)
        for counted in (Stage.EXTRACT, Stage.VALIDATE):
            await kit.state.record_part(RUN_ID, counted, 0, datetime.now(UTC), row_count=rows)
        places = {"state_url": kit.settings.state_url, "lake_url": kit.settings.lake_url}
        settings = load_settings(GateSettings, _env_file=None, **places, **changes)
        deps = Deps(kit=kit, settings=settings, rules=load_rules(settings.gate_rules_file, settings))
        ref = await store(kit.lake, local, paths.load_manifest(RUN_ID), rows)
        start = time.perf_counter()
        await handle(DataLoaded(**IDS, manifest=ref, parts_total=1, rows_valid=rows, rows_rejected=0), deps)
        seconds = time.perf_counter() - start
        run = await kit.state.get_run(RUN_ID)
    return {
        "events": rows,
        "files": len(manifest.events),
        "status": run.status if run else None,
        "memory_limit": settings.gate_memory_limit,
        "threads": settings.gate_threads,
        "seconds": round(seconds, 1),
        "peak_mb": round(peak_mb(), 1),
    }


def main() -> int:
    """Measure and print; 1 where the week did not pass or took more memory than the aim."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gate", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000, help="events of the week (default %(default)s)")
    parser.add_argument("--customers", type=int, help="customers of the week (default: a tenth of the events)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the gate")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    changes = {name.lower(): value for name, _, value in (each.partition("=") for each in arguments.set)}
    if arguments.child:
        json.dump(asyncio.run(gate_week(arguments.child, **changes)), sys.stdout)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        stage_week(Path(folder), arguments.events, arguments.customers or max(1, arguments.events // 10))
        child = [sys.executable, "-m", "tests.bench.gate", "--child", folder]
        settings = [word for each in arguments.set for word in ("--set", each)]
        done = subprocess.run([*child, *settings], stdout=subprocess.PIPE, check=True)
    figures = json.loads(done.stdout) | {"aim_mb": AIM_MB, "machine": machine(["duckdb", "pyarrow"])}
    shown = ("events", "files", "status", "memory_limit", "threads", "seconds", "peak_mb", "aim_mb")
    sys.stdout.write(table(shown, [[figures[name] for name in shown]]) + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["status"] == "SUCCESS" and figures["peak_mb"] <= AIM_MB else 1


if __name__ == "__main__":
    sys.exit(main())

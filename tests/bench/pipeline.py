"""The speed and the memory of the pipeline from `week.requested` to `data.loaded`, against a plain pipeline.

    python -m tests.bench.pipeline [--events N] [--large] [--rounds N] [--set NAME=VALUE …] [--json FILE]

In one run: every stage alone, the chain, and the baseline (`tests.bench.baseline`: requests, Pydantic and pandas in one
process) on the same week of N events from the same emulator, whose pages were rendered before. Chain and baseline take
turns, so that a machine that is busy with other things is so for both; their medians are compared. The three results
must agree in rows, rejects by code and money to the cent. With `--large` also a week ten times as large, without the
baseline. The aims are printed with whether they are met; a machine that does other work meets fewer.
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
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.bench.measure import Usage, machine, table
from tests.bench.stack import API_KEY, BAD_PCT, MONDAY, PAGE_SIZE, SEED, BenchError, EventsApi, events_api
from tests.bench.stages import Measured, Outcome, chain, stages_alone

LARGE = 10
AIM_SPEEDUP = 5.0
AIM_PEAK_MB = 300.0
AIM_GROWTH = 1.2
"""Of the time for an event, from a week to one ten times as large: more is not linear."""
PACKAGES = ("pyarrow", "msgspec", "aiohttp", "azure-servicebus", "sqlalchemy")
BASELINE_PACKAGES = Path(sys.prefix) / "baseline"
"""Where requirements/baseline.txt is installed: beside what the services see, because pyarrow imports what it finds."""

Figures = dict[str, Any]


async def baseline(folder: Path, api: EventsApi) -> Figures:
    """The plain pipeline in a process of its own; what it printed."""
    words = [
        "--base-url",
        api.base_url,
        "--api-key",
        API_KEY,
        "--week-start",
        str(MONDAY),
        "--page-size",
        str(PAGE_SIZE),
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.baseline", *words, "--out", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(BASELINE_PACKAGES)},
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise BenchError(f"The baseline ended with status {process.returncode}.")
    found: Figures = json.loads(printed)
    return found


async def week(folder: Path, events: int, *, rounds: int, compare: bool, settings: dict[str, str]) -> Figures:
    """Everything about one size of week."""
    async with events_api(folder / "api", events) as api:
        _say(f"{events:,} events: every stage alone")
        alone = await stages_alone(folder / "alone", api, settings)
        chains, baselines = [], []
        for number in range(rounds):
            _say(f"{events:,} events: chain, round {number + 1} of {rounds}")
            chains.append(await chain(folder / f"chain-{number}", api, settings))
            if compare:
                _say(f"{events:,} events: baseline, round {number + 1} of {rounds}")
                baselines.append(await baseline(folder / f"baseline-{number}", api))
    _agree([alone, *chains], baselines)
    return _figures(events, alone, chains, baselines)


def _agree(measured: Sequence[Measured], baselines: Sequence[Figures]) -> None:
    first = measured[0].outcome
    for outcome in (each.outcome for each in measured):
        _same(first, outcome.valid, outcome.price, outcome.reject_counts)
    for plain in baselines:
        _same(first, plain["valid"], Decimal(plain["price"]), plain["reject_counts"])


def _same(first: Outcome, valid: int, price: Decimal, reject_counts: dict[str, int]) -> None:
    if (first.valid, first.price, first.reject_counts) != (valid, price, reject_counts):
        raise BenchError(f"Results differ: {first} against {valid} valid, {price} in all, rejects {reject_counts}.")


def _figures(events: int, alone: Measured, chains: list[Measured], baselines: list[Figures]) -> Figures:
    seconds = {**alone.seconds, "chain": statistics.median(each.seconds["chain"] for each in chains)}
    if baselines:
        seconds["baseline"] = statistics.median(plain["seconds"] for plain in baselines)
    peaks: dict[str, float] = {}
    for used in (alone.usage, *(each.usage for each in chains)):
        for name, usage in used.items():
            peaks[name] = max(peaks.get(name, 0.0), usage.peak_mb)
    outcome = chains[0].outcome
    return {
        "events": events,
        "valid": outcome.valid,
        "rejected": sum(outcome.reject_counts.values()),
        "files": outcome.files,
        "largest_file_mb": round(outcome.largest_file_mb, 1),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "events_per_sec": {name: round(events / value) for name, value in seconds.items()},
        "chain_cpu_us_per_event": _cpu(chains[-1].usage, events),
        "baseline_cpu_us_per_event": round(baselines[-1]["cpu_sec"] / events * 1e6, 2) if baselines else None,
        "baseline_peak_mb": round(baselines[-1]["peak_mb"]) if baselines else None,
        "baseline_packages": baselines[-1]["packages"] if baselines else None,
        "peak_mb": {name: round(peak) for name, peak in sorted(peaks.items())},
    }


def _cpu(usage: dict[str, Usage], events: int) -> dict[str, float]:
    return {name: round(used.cpu_sec / events * 1e6, 2) for name, used in usage.items()}


def aims(weeks: Sequence[Figures]) -> list[Figures]:
    """Each aim, what was found, and whether it is met."""
    usual, largest = weeks[0], weeks[-1]
    speeds = usual["events_per_sec"]
    worst = max((name for name in largest["peak_mb"] if "emulator" not in name), key=largest["peak_mb"].__getitem__)
    found = [
        (f"chain at least {AIM_SPEEDUP:g} times the baseline", speeds["chain"] / speeds["baseline"], AIM_SPEEDUP, 1),
        (f"no process above {AIM_PEAK_MB:g} MB ({worst} has most)", largest["peak_mb"][worst], AIM_PEAK_MB, -1),
    ]
    if largest is not usual:
        growth = speeds["chain"] / largest["events_per_sec"]["chain"]
        found.append(
            (
                f"time for an event at most {AIM_GROWTH:g} times as long at {LARGE} times the size",
                growth,
                AIM_GROWTH,
                -1,
            )
        )
    return [
        {"aim": aim, "found": round(value, 2), "met": bool((value - bound) * better >= 0)}
        for aim, value, bound, better in found
    ]


def report(figures: Figures) -> str:
    """For people."""
    place = figures["machine"]
    lines = [
        f"{place['cores']} cores, {place['memory_gb']} GB, {place['system']}, Python {place['python']}; "
        f"load {place['load_average_1_min']} before the run",
        _versions(place["packages"]),
        f"baseline: {_versions(figures['weeks'][0]['baseline_packages'])}",
    ]
    for found in figures["weeks"]:
        lines += [
            "",
            f"{found['events']:,} events ({found['valid']:,} valid, {found['rejected']:,} rejected), "
            f"{found['files']} files, the largest {found['largest_file_mb']} MB",
            table(
                ("", "seconds", "events/s"),
                [(name, value, found["events_per_sec"][name]) for name, value in found["seconds"].items()],
            ),
            "",
            table(("process", "peak MB", "CPU µs/event in the chain"), _processes(found)),
        ]
    return "\n".join(
        [*lines, "", table(("aim", "found", "met"), [(a["aim"], a["found"], a["met"]) for a in figures["aims"]])]
    )


def _versions(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in packages.items())


def _processes(found: Figures) -> list[tuple[str, float, float | None]]:
    cpu = found["chain_cpu_us_per_event"]
    rows = [(name, peak, cpu.get(name)) for name, peak in found["peak_mb"].items()]
    if found["baseline_peak_mb"] is not None:
        rows.append(("baseline", found["baseline_peak_mb"], found["baseline_cpu_us_per_event"]))
    return rows


async def measure(folder: Path, events: int, *, large: bool, rounds: int, settings: dict[str, str]) -> Figures:
    """All figures."""
    place = machine(PACKAGES)
    weeks = [await week(folder / "usual", events, rounds=rounds, compare=True, settings=settings)]
    if large:
        weeks.append(await week(folder / "large", events * LARGE, rounds=1, compare=False, settings=settings))
    given = {"seed": SEED, "bad_pct": BAD_PCT, "page_size": PAGE_SIZE, "rounds": rounds, "settings": settings}
    return {"machine": place, "given": given, "weeks": weeks, "aims": aims(weeks)}


def install_baseline() -> None:
    """Once: beside the environment, whose Python the baseline uses."""
    if (BASELINE_PACKAGES / "pandas").is_dir():
        return
    _say("installing what the baseline needs (once)")
    locked = Path(__file__).parents[2] / "requirements" / "baseline.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", str(BASELINE_PACKAGES), "-r", str(locked)], check=True)


def _say(text: str) -> None:
    sys.stderr.write(f"{text} (load {os.getloadavg()[0]:.1f})\n")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pipeline", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the week (default %(default)s)")
    parser.add_argument("--large", action="store_true", help=f"also a week {LARGE} times as large")
    parser.add_argument("--rounds", type=int, default=3, help="of chain and baseline in turn (default %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the services")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    install_baseline()
    settings = dict(each.split("=", 1) for each in given.set)
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(
            measure(Path(folder), given.events, large=given.large, rounds=given.rounds, settings=settings)
        )
    sys.stdout.write(f"{report(figures)}\n")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

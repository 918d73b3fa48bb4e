"""The command line: every option, its unit and its bounds, read into the objects that the server is built from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import get_args

from libs.emulators.events_api.faults import FaultKind, FaultSettings
from libs.emulators.events_api.generator import GeneratorOptions, IdFormat
from libs.emulators.events_api.pages import PageShape, Pagination, TotalPlace
from libs.emulators.events_api.server import ServerOptions
from libs.emulators.events_api.timestamps import TimeFormat

_FAULT_HELP: dict[FaultKind, str] = {
    "429": "answered with 429 and Retry-After",
    "truncate": "cut JSON, with the Content-Length of what is sent",
    "disconnect": "cut by closing the connection before Content-Length is reached",
    "invalid_json": "status 200 with a proxy's HTML page",
    "slow": "served --slow-ms late",
    "redirect": "sent to --redirect-to with 307",
    "repeat": "the page before the one asked for",
}


@dataclass(frozen=True)
class Options:
    """Everything one server is started with; ``file`` None means a generated week, ``cache`` a folder for its pages."""

    host: str
    port: int
    file: Path | None
    cache: Path | None
    generator: GeneratorOptions
    server: ServerOptions

    def __post_init__(self) -> None:
        if self.file is not None and self.cache is not None:
            raise ValueError("--cache is for generated weeks: a file may change under it")


def parse(argv: Sequence[str]) -> Options:
    """Read the server's command line; a wrong one ends the process with status 2 and says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m libs.emulators.events_api",
        description="A local events REST API that serves a generated week, or a file. "
        "'python -m libs.emulators.events_api truth --help' prints what a generated week holds.",
    )
    _add_listening(parser)
    add_generator(parser)
    _add_shape(parser)
    _add_faults(parser)
    given = parser.parse_args(argv)
    try:
        return Options(
            given.host, given.port, given.file, given.cache, generator_options(given), _server_options(given)
        )
    except ValueError as error:
        parser.error(str(error))


def add_generator(parser: argparse.ArgumentParser) -> None:
    """Add the options that decide what a generated week holds; the truth command takes the same."""
    group = parser.add_argument_group("generated week")
    group.add_argument("--events", type=int, default=100_000, metavar="N", help="records in 7 days (%(default)s)")
    group.add_argument("--seed", type=int, default=1, metavar="S", help="another seed, another week (%(default)s)")
    group.add_argument("--bad-pct", type=_share, default=Fraction(0), metavar="X", help="bad records, percent (0)")
    group.add_argument(
        "--drift-pct", type=_share, default=Fraction(0), metavar="X", help="records with an unknown field, percent (0)"
    )
    group.add_argument("--time-format", choices=get_args(TimeFormat), default="rees46", help="(%(default)s)")
    group.add_argument("--id-format", choices=get_args(IdFormat), default="number", help="(%(default)s)")


def generator_options(given: argparse.Namespace) -> GeneratorOptions:
    """Return what the options of ``add_generator`` say; raises ValueError on a value out of bounds."""
    return GeneratorOptions(
        events=given.events,
        seed=given.seed,
        bad_pct=given.bad_pct,
        drift_pct=given.drift_pct,
        time_format=given.time_format,
        id_format=given.id_format,
    )


def _add_listening(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, required=True, metavar="P", help="0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="(%(default)s)")
    parser.add_argument("--file", type=Path, metavar="F", help="serve this CSV, JSON Lines or Parquet file instead")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="keep rendered pages here, to serve them again at the speed of a disk"
    )
    parser.add_argument("--api-key", metavar="K", help="ask for this key (none is asked for without)")
    parser.add_argument("--auth-header", default="Authorization", metavar="NAME", help="(%(default)s)")
    parser.add_argument("--events-path", default="/events", metavar="PATH", help="(%(default)s)")


def _add_shape(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pages")
    group.add_argument(
        "--body", default="list", metavar="KEY", help="list, or the key of an object: data, events, results, items, …"
    )
    group.add_argument("--total", choices=get_args(TotalPlace), default="none", help="(%(default)s)")
    group.add_argument("--pagination", choices=get_args(Pagination), default="page", help="(%(default)s)")
    group.add_argument("--max-page-size", type=_count, default=10_000, metavar="N", help="(%(default)s)")
    group.add_argument("--gzip", action="store_true", help="compress bodies for clients that accept it")


def _add_faults(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("latency and faults", "shares are percent of the requests for pages")
    group.add_argument("--latency-ms", type=_count, default=0, metavar="L", help="before every answer (0)")
    group.add_argument("--jitter-ms", type=_count, default=0, metavar="J", help="up to this much on top (0)")
    group.add_argument("--rate-limit-per-sec", type=float, metavar="R", help="429 above this rate (no limit)")
    for kind in get_args(FaultKind):
        option = f"--fault-{kind}-pct" if kind.isdigit() else f"--{kind.replace('_', '-')}-pct"
        text = _FAULT_HELP.get(kind, f"answered with {kind}")
        group.add_argument(option, dest=f"pct_{kind}", type=float, default=0.0, metavar="X", help=text)
    group.add_argument("--faults-seed", type=int, default=1, metavar="S", help="(%(default)s)")
    group.add_argument(
        "--faults-max-per-page",
        type=_count,
        default=2,
        metavar="N",
        help="attempts of a page that can fail; 0: all (2)",
    )
    group.add_argument("--retry-after", choices=("seconds", "date", "none"), default="seconds", help="(%(default)s)")
    group.add_argument("--retry-after-sec", type=_count, default=1, metavar="N", help="(%(default)s)")
    group.add_argument("--slow-ms", type=_count, default=2_000, metavar="N", help="(%(default)s)")
    group.add_argument("--redirect-to", default="http://other-host.invalid", metavar="URL", help="(%(default)s)")
    group.add_argument("--total-offset", type=int, default=0, metavar="N", help="added to every reported total (0)")
    group.add_argument("--total-change-after-page", type=_count, default=0, metavar="P", help="0: never")
    group.add_argument("--total-change-by", type=int, default=0, metavar="N", help="added to the total after page P")


def _server_options(given: argparse.Namespace) -> ServerOptions:
    if given.rate_limit_per_sec is not None and given.rate_limit_per_sec <= 0:
        raise ValueError(f"--rate-limit-per-sec must be above 0, got {given.rate_limit_per_sec}")
    if given.max_page_size < 1:
        raise ValueError("--max-page-size must be at least 1")
    return ServerOptions(
        shape=PageShape(given.body, given.total, given.pagination),
        api_key=given.api_key,
        auth_header=given.auth_header,
        events_path=given.events_path,
        max_page_size=given.max_page_size,
        latency_ms=given.latency_ms,
        jitter_ms=given.jitter_ms,
        rate_limit_per_sec=given.rate_limit_per_sec,
        gzip=given.gzip,
        faults=FaultSettings(
            seed=given.faults_seed,
            pct={kind: share for kind in get_args(FaultKind) if (share := getattr(given, f"pct_{kind}"))},
            max_per_page=given.faults_max_per_page,
            retry_after=given.retry_after,
            retry_after_sec=given.retry_after_sec,
            slow_ms=given.slow_ms,
            redirect_to=given.redirect_to,
            total_offset=given.total_offset,
            total_change_after_page=given.total_change_after_page,
            total_change_by=given.total_change_by,
        ),
    )


def _share(text: str) -> Fraction:
    try:
        share = Fraction(Decimal(text))
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not 0 <= share <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100 percent")
    return share


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)
